//! The system's limit of open files: every connection is one, and shells start programs with about a thousand.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Takes as many as this process may have without asking anybody. Whether it worked is seen in the log only: a small fleet needs few.
pub(crate) fn raise() {
    let limit = getrlimit(Resource::Nofile);
    let wanted = Rlimit { current: limit.maximum, maximum: limit.maximum };
    match setrlimit(Resource::Nofile, wanted) {
        Ok(()) => tracing::debug!(files = ?limit.maximum, before = ?limit.current, "open files"),
        Err(error) => {
            tracing::warn!(%error, files = ?limit.current, "cannot raise the limit of open files: more boards cannot connect");
        }
    }
}
