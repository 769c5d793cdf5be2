//! The search for the smallest heap that works: which size to try next, and when the answer is known.
//!
//! Success does not grow evenly with the heap: where the collector happens to run decides whether a hole is large enough, so a size may work
//! by luck while a larger one fails. The answer is the smallest size above which a whole run of sizes works.

/// A search over heap sizes in steps. Ask [`Search::next`], try that size, [`Search::tell`] how it went.
#[derive(Clone, Debug)]
pub struct Search {
    step: u64,
    /// Sizes in a row that must work, the answer's own included.
    run: u64,
    /// The largest size that is known to fail and below which nothing more is tried.
    low: u64,
    /// The smallest candidate.
    high: u64,
    limit: u64,
    /// Sizes from `high` on that are known to work in a row, once the halving is over.
    proven: u64,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The largest size is tried first: without it there is nothing to search.
    Top,
    Halving,
    Proving,
    Done,
    /// Not even the largest size works.
    Hopeless,
}

impl Search {
    /// Sizes above `low` up to `limit`, all in bytes and multiples of `step`; `run` of them in a row must work.
    pub fn new(low: u64, limit: u64, step: u64, run: u64) -> Self {
        let (low, limit) = (low / step * step, limit / step * step);
        Self { step, run, low, high: limit, limit, proven: 0, state: State::Top }
    }

    /// The size to try, or `None` when the search is over.
    pub fn next(&self) -> Option<u64> {
        match self.state {
            State::Top => Some(self.limit),
            State::Halving => Some(self.middle()),
            State::Proving => Some(self.high + self.proven * self.step),
            State::Done | State::Hopeless => None,
        }
    }

    /// Takes the outcome of the size that [`Search::next`] named.
    pub fn tell(&mut self, works: bool) {
        match (self.state, works) {
            (State::Top, false) => self.state = State::Hopeless,
            (State::Top, true) => self.state = State::Halving,
            (State::Halving, true) => self.high = self.middle(),
            (State::Halving, false) => self.low = self.middle(),
            (State::Proving, true) => self.proven += 1,
            (State::Proving, false) => {
                self.low = self.high + self.proven * self.step;
                self.high = self.low + self.step;
                self.proven = 0;
            }
            (State::Done | State::Hopeless, _) => {}
        }
        if self.state == State::Halving && self.high - self.low <= self.step {
            self.state = State::Proving;
            self.proven = 1;
        }
        // The limit itself is known to work, so there is nothing to prove beyond it.
        if self.state == State::Proving
            && (self.proven >= self.run || self.high + self.proven * self.step >= self.limit)
        {
            self.state = State::Done;
        }
    }

    /// The smallest size, once the search is over; `None` when not even the largest works.
    pub fn answer(&self) -> Option<u64> {
        (self.state == State::Done).then_some(self.high)
    }

    fn middle(&self) -> u64 {
        u64::midpoint(self.low, self.high) / self.step * self.step
    }
}

#[cfg(test)]
mod tests {
    //! Where the search could lie.

    use super::Search;

    /// The answer for a board that works with these sizes, and the sizes that were tried.
    fn search(works: impl Fn(u64) -> bool) -> (Option<u64>, Vec<u64>) {
        let mut search = Search::new(0, 16 * 512, 512, 3);
        let mut tried = Vec::new();
        while let Some(size) = search.next() {
            assert!(tried.len() < 64, "{tried:?}");
            tried.push(size);
            search.tell(works(size));
        }
        (search.answer(), tried)
    }

    #[test]
    fn every_threshold_is_found() {
        for threshold in 1..=16 {
            let (answer, tried) = search(|size| size >= threshold * 512);
            assert_eq!(answer, Some(threshold * 512), "{tried:?}");
        }
    }

    #[test]
    fn a_size_that_works_by_luck_is_not_the_answer() {
        let lucky = |size: u64| size == 5 * 512 || size >= 8 * 512;
        assert_eq!(search(lucky).0, Some(8 * 512));
        // Found by halving (8, 4, 6, 5), and refuted by its neighbour.
        let hole = |size: u64| size >= 5 * 512 && size != 7 * 512;
        let (answer, tried) = search(hole);
        assert_eq!(answer, Some(8 * 512), "{tried:?}");
    }

    #[test]
    fn no_answer_without_one_that_works() {
        assert_eq!(search(|_| false), (None, vec![16 * 512]));
        assert_eq!(search(|size| size == 16 * 512).0, Some(16 * 512));
    }
}
