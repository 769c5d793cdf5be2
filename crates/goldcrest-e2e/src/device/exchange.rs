//! Reads a recorded connection back as requests and answers, to tell what its bytes were for.

/// One request with its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// Path and query of the request.
    pub path: String,
    /// Status of the answer; 0 when the connection ended before it.
    pub status: u16,
    /// Bytes of the request, its head included.
    pub up: u64,
    /// Bytes of the answer, its head included.
    pub down: u64,
    /// Of these the body.
    pub body: u64,
}

/// The exchanges of one keep-alive connection. A message that was cut off counts with the bytes that there are, so the sums are
/// those of the recording.
pub fn read(up: &[u8], down: &[u8]) -> Vec<Exchange> {
    let (mut up, mut down) = (up, down);
    let mut exchanges = Vec::new();
    while !up.is_empty() || !down.is_empty() {
        let request = message(&mut up, false);
        let answer = message(&mut down, true);
        let mut words = request.line.split(' ');
        exchanges.push(Exchange {
            path: words.nth(1).unwrap_or_default().to_owned(),
            status: answer.line.split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap_or(0),
            up: request.bytes,
            down: answer.bytes,
            body: answer.body,
        });
    }
    exchanges
}

struct Message {
    line: String,
    bytes: u64,
    body: u64,
}

/// Takes one message off the front.
fn message(bytes: &mut &[u8], is_answer: bool) -> Message {
    let whole = *bytes;
    let head_length = whole.windows(4).position(|window| window == b"\r\n\r\n").map_or(whole.len(), |at| at + 4);
    let head = String::from_utf8_lossy(&whole[..head_length]).into_owned();
    let mut lines = head.split("\r\n");
    let line = lines.next().unwrap_or_default().to_owned();
    // RFC 9110: no body, whatever the head says.
    let bodyless = is_answer && matches!(line.split(' ').nth(1), Some("204" | "304"));
    let length = lines
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .and_then(|(_, value)| value.trim().parse::<usize>().ok())
        .filter(|_| !bodyless)
        .unwrap_or(0);
    let end = head_length.saturating_add(length).min(whole.len());
    *bytes = &whole[end..];
    Message { line, bytes: end as u64, body: (end - head_length) as u64 }
}

#[cfg(test)]
mod tests {
    //! What is read as what.

    use super::{Exchange, read};

    fn exchange(path: &str, status: u16, up: u64, down: u64, body: u64) -> Exchange {
        Exchange { path: path.to_owned(), status, up, down, body }
    }

    #[test]
    fn answers_belong_to_their_requests_and_no_byte_is_lost() {
        let up = b"GET /a HTTP/1.1\r\nHost: h\r\n\r\nPOST /b HTTP/1.1\r\ncontent-length: 3\r\n\r\nGETGET /c HTTP/1.1\r\n\r\n";
        let down = b"HTTP/1.1 226 IM Used\r\nContent-Length: 4\r\n\r\n\r\n\r\nHTTP/1.1 304 X\r\nContent-Length: 9\r\n\r\nHTTP/1.1 200 OK\r\n\r\n";
        let exchanges = read(up, down);
        let expected = [exchange("/a", 226, 28, 47, 4), exchange("/b", 304, 42, 37, 0), exchange("/c", 200, 19, 19, 0)];
        assert_eq!(exchanges, expected);
        assert_eq!(exchanges.iter().map(|e| e.up).sum::<u64>(), up.len() as u64);
        assert_eq!(exchanges.iter().map(|e| e.down).sum::<u64>(), down.len() as u64);
    }

    #[test]
    fn a_connection_that_was_cut_counts_what_came() {
        let exchanges = read(b"GET /a HTTP/1.1\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc");
        assert_eq!(exchanges, [exchange("/a", 200, 19, 43, 3)]);
        assert_eq!(read(b"GET /a HT", b""), [exchange("/a", 0, 9, 0, 0)]);
        assert_eq!(read(b"", b""), []);
    }
}
