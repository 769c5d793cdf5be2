//! Objects: ranges by the book, visible to the project's devices only.

use crate::app::{Device, TestApp};
use crate::http::Response;
use crate::releases::{Plan, Release};

/// A release with one object of 1,000 bytes that no compressor makes shorter.
fn published() -> (Release, Vec<u8>, String) {
    let mut state = 1_u32;
    let noise: Vec<u8> = (0..1000)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state.to_be_bytes()[0]
        })
        .collect();
    let release = Plan { files: vec![("noise.bin", noise.clone())], ..Plan::new("1.0.0", 100) }.build();
    let digest = release.objects.keys().next().unwrap().to_string();
    (release, noise, digest)
}

async fn get(device: &Device<'_>, digest: &str, headers: &[(&str, &str)]) -> Response {
    device.send("GET", &format!("/d/v1/objects/{digest}"), headers, b"").await
}

#[tokio::test]
async fn an_object_has_every_header_that_a_cache_and_a_board_need() {
    let app = TestApp::start().await;
    let device = app.device("one").await;
    let (release, noise, digest) = published();
    app.admin().publish(&release).await;
    let tag = format!("\"{digest}\"");
    let whole = get(&device, &digest, &[]).await.expect(200);
    assert_eq!(whole.body, noise);
    assert_eq!(whole.header("Content-Length"), Some("1000"));
    assert_eq!(whole.header("Etag"), Some(tag.as_str()));
    assert_eq!(whole.header("Accept-Ranges"), Some("bytes"));
    assert_eq!(whole.header("Cache-Control"), Some("public, max-age=31536000, immutable"));
    assert_eq!(whole.header("Transfer-Encoding"), None);
    let head = device.send("HEAD", &format!("/d/v1/objects/{digest}"), &[], b"").await.expect(200);
    assert_eq!((head.header("Content-Length"), head.body.len()), (Some("1000"), 0));
    let known = get(&device, &digest, &[("If-None-Match", &tag)]).await.expect(304);
    assert!(known.body.is_empty());
}

#[tokio::test]
async fn a_board_that_says_what_it_has_gets_the_bytes_and_their_number() {
    let app = TestApp::start().await;
    let device = app.device("one").await;
    let (release, noise, digest) = published();
    app.admin().publish(&release).await;
    for from in ["", digest.as_str(), "no-digest"] {
        let path = format!("{digest}?from={from}");
        let whole = get(&device, &path, &[]).await.expect(200);
        assert_eq!(whole.head, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\nConnection: close", "{from}");
        assert_eq!(whole.body, noise);
        let part = get(&device, &path, &[("Range", "bytes=990-")]).await.expect(206);
        let head = "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 990-999/1000\r\nContent-Length: 10";
        assert_eq!(part.head, format!("{head}\r\nConnection: close"), "{from}");
    }
    // Only our agent can do without a date.
    let plain = crate::http::send(app.address, "GET", "/healthz", &[], b"").await.expect(200);
    assert!(plain.header("Date").is_some());
}

#[tokio::test]
async fn one_range_is_answered_with_its_bytes() {
    let app = TestApp::start().await;
    let device = app.device("one").await;
    let (release, noise, digest) = published();
    app.admin().publish(&release).await;
    for (range, first, last) in
        [("bytes=0-0", 0, 0), ("bytes=10-19", 10, 19), ("bytes=990-", 990, 999), ("bytes=-5", 995, 999)]
    {
        let part = get(&device, &digest, &[("Range", range)]).await.expect(206);
        assert_eq!(part.body, noise[first..=last], "{range}");
        assert_eq!(part.header("Content-Range"), Some(format!("bytes {first}-{last}/1000").as_str()));
        assert_eq!(part.header("Content-Length"), Some((last - first + 1).to_string().as_str()));
    }
    let tag = format!("\"{digest}\"");
    assert_eq!(get(&device, &digest, &[("Range", "bytes=5-"), ("If-Range", &tag)]).await.expect(206).body, noise[5..]);
    for other in ["\"other\"", "Sat, 21 Nov 2026 00:00:00 GMT", &format!("W/{tag}")] {
        assert_eq!(get(&device, &digest, &[("Range", "bytes=5-"), ("If-Range", other)]).await.expect(200).body, noise);
    }
    assert_eq!(get(&device, &digest, &[("Range", "bytes=0-1,5-6")]).await.expect(200).body, noise);
}

#[tokio::test]
async fn a_range_past_the_end_is_416() {
    let app = TestApp::start().await;
    let device = app.device("one").await;
    let (release, _, digest) = published();
    app.admin().publish(&release).await;
    let none = get(&device, &digest, &[("Range", "bytes=1000-")]).await.expect(416);
    assert_eq!(none.header("Content-Range"), Some("bytes */1000"));
    assert_eq!(none.header("Content-Length"), Some("0"));
}

#[tokio::test]
async fn only_objects_of_releases_are_there() {
    let app = TestApp::start().await;
    let device = app.device("one").await;
    let (release, _, digest) = published();
    get(&device, &digest, &[]).await.expect(404);
    app.admin().publish(&release).await;
    get(&device, &digest, &[]).await.expect(200);
    let stranger = "0".repeat(64);
    for name in [stranger.as_str(), "..%2Fgoldcrest.db", "%00", &digest.to_uppercase()] {
        let gone = get(&device, name, &[]).await.expect(404);
        assert!(gone.text().lines().count() == 1 && !gone.text().starts_with('{'), "{}", gone.text());
    }
    let path = format!("/d/v1/objects/{digest}");
    app.anonymous().send("GET", &path, &[], b"").await.expect(401);
    app.anonymous().send("GET", &path, &[("Authorization", "Bearer gcd_no")], b"").await.expect(401);
    app.admin().get(&path).await.expect(401);
}
