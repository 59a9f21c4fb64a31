//! The store's promises, on a real file.

use std::path::Path;

use agentd::command::{Call, CallRecord, Command, Denial, Outcome, Route, Status, now};
use agentd::feed::Feed;
use agentd::store::{
    Accepted, Broker, Delivery, Destination, Ending, Intent, Opened, Origin, Plan, Store,
    StoreConfig, StoreError, Trace,
};
use agentd_tools::{Effect, Priority, Recovery};
use serde_json::{Map, Value};

struct Bench {
    store: Store,
    thread: std::thread::JoinHandle<()>,
    opened_again: Vec<Outcome>,
}

fn config(path: &Path) -> StoreConfig {
    StoreConfig { path: path.join("a.db"), ..StoreConfig::default() }
}

fn open(path: &Path, most_waiting: u32) -> Bench {
    let Opened { store, thread, interrupted, .. } =
        Store::open(&config(path), most_waiting, Feed::default()).expect("opens");
    Bench { store, thread, opened_again: interrupted }
}

impl Bench {
    /// Ends the thread, so that the file is closed as it is by a stop.
    fn close(self) {
        drop(self.store);
        self.thread.join().expect("the thread ends");
    }
}

fn command(id: &str) -> Command {
    Command { id: id.into(), ..Command::from_text(format!("do {id}")) }
}

fn call(tool: &str) -> Call {
    Call { tool: tool.into(), args: Map::new() }
}

fn plan(tools: &[&str]) -> Plan {
    let calls = tools.iter().map(|tool| call(tool)).collect();
    Plan { route: Route::Reflex, model: None, confidence: None, calls }
}

fn record(tool: &str) -> CallRecord {
    let result = Some(Map::new());
    let (tool, args) = (tool.into(), Map::new());
    CallRecord { tool, args, ok: true, result, error: None, settled: None, ms: 1 }
}

fn acted() -> Trace {
    Trace { acted: true, ..Trace::default() }
}

/// The intent of a call, after others of the same plan that acted.
fn intent(id: &str, plan: &Plan, step: usize, recovery: Recovery, before: &[&str]) -> Intent {
    let before = before.iter().map(|tool| (record(tool), acted())).collect();
    Intent { id: id.into(), plan: plan.clone(), step, recovery, before }
}

fn ending(id: &str, tools: &[&str]) -> Ending {
    let outcome = Outcome {
        id: id.into(),
        status: Status::Done,
        text: "done".into(),
        route: Route::Reflex,
        model: None,
        confidence: None,
        calls: tools.iter().map(|tool| record(tool)).collect(),
        error: None,
        ms: 1,
        received_at: now(),
        finished_at: now(),
    };
    Ending { outcome, traces: vec![acted(); tools.len()], plan: None, feedback: None }
}

async fn accept(store: &Store, id: &str) -> Accepted {
    store
        .accept(command(id), Origin { source: id.into(), ..Origin::default() })
        .await
        .expect("works")
}

async fn topics(store: &Store) -> Vec<String> {
    let rows = store.pending(Broker::Upstream, Vec::new(), 100).await.expect("works");
    rows.into_iter()
        .map(|row| match row.destination {
            Destination::Own(topic) => topic,
            Destination::Reply { topic, .. } => format!("reply:{topic}"),
        })
        .collect()
}

#[tokio::test]
async fn a_repeat_gets_the_stored_outcome_and_acts_on_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let Bench { store, .. } = open(folder.path(), 10);
    assert_eq!(accept(&store, "a").await, Accepted::New("a".into()));
    assert!(matches!(accept(&store, "a").await, Accepted::Repeat { outcome: None, .. }));
    assert!(store.finish(ending("a", &["pump"])).await.unwrap());
    let Accepted::Repeat { outcome: Some(outcome), .. } = accept(&store, "a").await else {
        panic!("a repeat with its outcome");
    };
    assert_eq!(outcome.status, Status::Done);
    assert!(store.next(Vec::new()).await.unwrap().is_none());
    let results = topics(&store).await.iter().filter(|topic| *topic == "result/a").count();
    assert_eq!(results, 2, "the repeat's sender gets the outcome as well");
}

#[tokio::test]
async fn a_redelivery_without_an_id_is_known_by_its_packet_id_and_dup_flag() {
    let folder = tempfile::tempdir().unwrap();
    let Bench { store, .. } = open(folder.path(), 10);
    let deliver = |text: &str, packet_id, duplicate| {
        let delivery = Some(Delivery { packet_id, duplicate });
        let origin = Origin { source: "mqtt".into(), delivery, ..Origin::default() };
        store.accept(Command::from_text(text), origin)
    };
    let Accepted::New(id) = deliver("pump on", 7, false).await.unwrap() else { panic!("new") };
    let again = deliver("pump on", 7, true).await.unwrap();
    assert!(matches!(again, Accepted::Repeat { id: known, .. } if known == id));
    assert!(matches!(deliver("pump on", 7, false).await.unwrap(), Accepted::New(_)), "not marked");
    assert!(matches!(deliver("fan on", 7, true).await.unwrap(), Accepted::New(_)), "other words");
    assert!(matches!(deliver("fan on", 8, true).await.unwrap(), Accepted::New(_)), "other packet");
}

#[tokio::test]
async fn the_bound_on_waiting_commands_holds_at_and_one_over() {
    let folder = tempfile::tempdir().unwrap();
    let Bench { store, .. } = open(folder.path(), 2);
    assert!(matches!(accept(&store, "a").await, Accepted::New(_)));
    assert!(matches!(accept(&store, "b").await, Accepted::New(_)));
    assert!(matches!(accept(&store, "c").await, Accepted::Busy(denial) if denial.code == "busy"));
    assert!(matches!(accept(&store, "a").await, Accepted::Repeat { .. }), "a repeat is no new one");
    store.finish(ending("a", &[])).await.unwrap();
    assert!(matches!(accept(&store, "c").await, Accepted::New(_)));
}

#[tokio::test]
async fn commands_go_by_priority_then_order_and_a_busy_lane_is_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    let Bench { store, .. } = open(folder.path(), 10);
    accept(&store, "a").await;
    accept(&store, "b").await;
    let mut high = command("c");
    high.priority = agentd::command::Priority::High;
    store.accept(high, Origin { source: "c".into(), ..Origin::default() }).await.unwrap();
    let next = async |busy: &[&str]| {
        let busy = busy.iter().map(|lane| (*lane).to_owned()).collect();
        store.next(busy).await.unwrap().map(|waiting| waiting.command.id)
    };
    assert_eq!(next(&[]).await.as_deref(), Some("c"));
    assert_eq!(next(&["c"]).await.as_deref(), Some("a"));
    assert_eq!(next(&["c", "a", "b"]).await, None);
}

#[tokio::test]
async fn an_ending_writes_outcome_events_and_reply_once() {
    let folder = tempfile::tempdir().unwrap();
    let Bench { store, .. } = open(folder.path(), 10);
    let reply = Some(Destination::Reply { topic: "answers".into(), correlation: Some(vec![1, 2]) });
    let origin = Origin { source: "mqtt".into(), reply, ..Origin::default() };
    store.accept(command("a"), origin).await.unwrap();
    let mut ending = ending("a", &["pump"]);
    let payload = Map::from_iter([("reason".to_owned(), Value::from("it leaks"))]);
    let (priority, ttl_seconds) = (Priority::Normal, None);
    ending.traces[0].effects = vec![
        Effect::Event { kind: "call_technician".into(), payload, priority, ttl_seconds },
        Effect::Note { text: "leak".into() },
    ];
    assert!(store.finish(ending.clone()).await.unwrap());
    assert!(!store.finish(ending).await.unwrap(), "a command ends once");
    let order = topics(&store).await;
    assert_eq!(
        order,
        ["result/a", "reply:answers", "event/action", "event/call_technician", "event/note"],
        "a person waits for the outcome, so it goes first"
    );
    let rows = store.pending(Broker::Upstream, Vec::new(), 100).await.unwrap();
    let seqs: Vec<i64> = rows
        .iter()
        .filter_map(|row| serde_json::from_str::<Value>(&row.payload).unwrap()["seq"].as_i64())
        .collect();
    assert_eq!(seqs, [1, 2, 3], "without holes");
    let ids: Vec<i64> = rows.iter().map(|row| row.id).collect();
    assert_eq!(store.pending(Broker::Upstream, ids[..2].to_vec(), 2).await.unwrap().len(), 2);
    assert_eq!(store.delivered(ids).await.unwrap(), 5);
    assert_eq!(store.outbox_stats().await.unwrap().pending, 0);
}

#[tokio::test]
async fn a_call_that_was_cut_off_is_reported_and_not_repeated() {
    let folder = tempfile::tempdir().unwrap();
    let bench = open(folder.path(), 10);
    accept(&bench.store, "a").await;
    let plan = plan(&["pump", "fan"]);
    assert!(bench.store.begin_call(intent("a", &plan, 0, Recovery::Repeat, &[])).await.unwrap());
    assert!(
        bench.store.begin_call(intent("a", &plan, 1, Recovery::Report, &["pump"])).await.unwrap()
    );
    bench.close();
    let bench = open(folder.path(), 10);
    let [outcome] = &bench.opened_again[..] else { panic!("one was interrupted") };
    assert_eq!(outcome.status, Status::Interrupted);
    let ran: Vec<(&str, bool)> = outcome.calls.iter().map(|c| (c.tool.as_str(), c.ok)).collect();
    assert_eq!(ran, [("pump", true), ("fan", false)]);
    assert!(outcome.text.contains("not known"), "{}", outcome.text);
    assert!(bench.store.next(Vec::new()).await.unwrap().is_none(), "nothing is begun again");
    assert_eq!(topics(&bench.store).await, ["result/a", "event/action", "event/action"]);
    bench.close();
    assert!(open(folder.path(), 10).opened_again.is_empty(), "it is told once");
}

#[tokio::test]
async fn an_idempotent_call_that_was_cut_off_is_carried_on_with() {
    let folder = tempfile::tempdir().unwrap();
    let bench = open(folder.path(), 10);
    accept(&bench.store, "a").await;
    let plan = plan(&["pump", "fan"]);
    assert!(
        bench.store.begin_call(intent("a", &plan, 1, Recovery::Repeat, &["pump"])).await.unwrap()
    );
    bench.close();
    let bench = open(folder.path(), 10);
    assert!(bench.opened_again.is_empty());
    let waiting = bench.store.next(Vec::new()).await.unwrap().expect("it waits");
    assert_eq!((waiting.plan, waiting.records), (Some(plan), vec![record("pump")]));
}

#[tokio::test]
async fn a_cancelled_command_begins_no_call_and_a_begun_one_cannot_be_cancelled() {
    let folder = tempfile::tempdir().unwrap();
    let Bench { store, .. } = open(folder.path(), 10);
    accept(&store, "a").await;
    assert!(store.cancel("a").await.unwrap());
    assert!(
        !store.begin_call(intent("a", &plan(&["pump"]), 0, Recovery::Report, &[])).await.unwrap()
    );
    assert_eq!(store.outcome("a").await.unwrap().unwrap().status, Status::Cancelled);
    accept(&store, "b").await;
    assert!(
        store.begin_call(intent("b", &plan(&["pump"]), 0, Recovery::Report, &[])).await.unwrap()
    );
    assert!(!store.cancel("b").await.unwrap());
    assert!(!store.cancel("nobody").await.unwrap());
}

#[tokio::test]
async fn a_command_waits_for_a_person_and_goes_on_or_ends() {
    let folder = tempfile::tempdir().unwrap();
    let Bench { store, .. } = open(folder.path(), 10);
    for id in ["a", "b"] {
        accept(&store, id).await;
        let mut ending = ending(id, &[]);
        ending.outcome.status = Status::WaitingApproval;
        ending.plan = Some(plan(&["pump"]));
        assert!(store.finish(ending).await.unwrap());
    }
    assert!(store.next(Vec::new()).await.unwrap().is_none());
    assert!(store.approve("a", true, "anna").await.unwrap());
    let waiting = store.next(Vec::new()).await.unwrap().expect("it goes on");
    assert_eq!(waiting.approved_by.as_deref(), Some("anna"));
    assert_eq!(waiting.plan, Some(plan(&["pump"])));
    assert!(store.approve("b", false, "anna").await.unwrap());
    assert_eq!(store.outcome("b").await.unwrap().unwrap().status, Status::Denied);
    assert!(!store.approve("b", true, "anna").await.unwrap(), "it has ended");
}

#[tokio::test]
async fn the_outbox_bound_holds_at_and_one_over_and_the_oldest_least_wanted_goes() {
    let folder = tempfile::tempdir().unwrap();
    let config = StoreConfig { outbox_rows: 3, ..config(folder.path()) };
    let store = Store::open(&config, 10, Feed::default()).expect("opens").store;
    store.event("one", Map::new()).await.unwrap();
    store.refuse("x", Denial::new("busy", "busy"), Broker::Upstream, None).await.unwrap();
    store.event("two", Map::new()).await.unwrap();
    assert_eq!(store.outbox_stats().await.unwrap().dropped, 0);
    store.event("three", Map::new()).await.unwrap();
    let stats = store.outbox_stats().await.unwrap();
    assert_eq!((stats.pending, stats.dropped), (3, 1));
    let all = topics(&store).await;
    assert_eq!(all, ["result/x", "event/gap", "event/three"], "a gap tells of what fell");
}

#[tokio::test]
async fn the_outbox_bound_in_bytes_holds() {
    let folder = tempfile::tempdir().unwrap();
    let config = StoreConfig { outbox_mib: 1, ..config(folder.path()) };
    let store = Store::open(&config, 10, Feed::default()).expect("opens").store;
    for _ in 0..5 {
        let fields = Map::from_iter([("x".to_owned(), Value::from("y".repeat(300_000)))]);
        store.event("big", fields).await.unwrap();
    }
    assert_eq!(store.outbox_stats().await.unwrap().pending, 3, "three of 0.3 MB fit in 1 MiB");
}

#[tokio::test]
async fn a_database_that_is_damaged_or_newer_is_moved_aside_and_never_deleted() {
    for (name, spoil) in [
        (
            "damaged",
            (|path: &Path| std::fs::write(path, "no database at all").unwrap()) as fn(&Path),
        ),
        ("newer", |path: &Path| {
            let flags = rusqlite::OpenFlags::default();
            let connection = rusqlite::Connection::open_with_flags(path, flags).unwrap();
            connection.pragma_update(None, "user_version", 9999).unwrap();
        }),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db");
        spoil(&path);
        assert!(agentd::store::open::probe(&path).expect("it can be read").is_some(), "{name}");
        let opened = Store::open(&config(folder.path()), 10, Feed::default()).expect(name);
        let moved = opened.moved_aside.expect(name);
        assert!(moved.to.exists(), "{name}");
        assert!(moved.why.contains(name), "{}", moved.why);
        assert!(matches!(accept(&opened.store, "a").await, Accepted::New(_)));
        assert_eq!(agentd::store::open::probe(&path).expect("it can be read"), None, "{name}");
    }
}

#[tokio::test]
async fn a_page_that_is_damaged_while_it_is_in_use_is_told_and_moved_aside_at_the_next_start() {
    use std::os::unix::fs::FileExt as _;

    let folder = tempfile::tempdir().unwrap();
    let bench = open(folder.path(), 10);
    for n in 0..500 {
        let fields = Map::from_iter([("x".to_owned(), Value::from("y".repeat(2000 + n)))]);
        bench.store.event("big", fields).await.unwrap();
    }
    bench.close();
    let bench = open(folder.path(), 10);
    // More than the connection keeps in memory, and not the pages that say what tables there are.
    let file = std::fs::File::options().write(true).open(folder.path().join("a.db")).unwrap();
    let bytes = file.metadata().unwrap().len();
    assert!(bytes > 1 << 20);
    file.write_all_at(&vec![0xA5; 700_000], bytes - 700_000 - 4096 * 20).unwrap();
    let read = bench.store.pending(Broker::Upstream, Vec::new(), 1000).await;
    let all = (0..10).map(|_| bench.store.list_outbox(1000));
    let listed = futures_util::future::join_all(all).await;
    let corrupt = |error: &StoreError| matches!(error, StoreError::Corrupt(_));
    assert!(
        read.as_ref().is_err_and(corrupt) || listed.iter().any(|l| l.as_ref().is_err_and(corrupt))
    );
    let trouble = bench.store.trouble().borrow().clone().expect("it is told");
    assert!(trouble.to_string().contains("moved aside"), "{trouble}");
    // A write that works does not make it well.
    accept(&bench.store, "a").await;
    assert_eq!(bench.store.trouble().borrow().clone(), Some(trouble));
    bench.close();
    let opened = Store::open(&config(folder.path()), 10, Feed::default()).expect("opens");
    assert!(opened.moved_aside.is_some_and(|moved| moved.to.exists()));
}

#[test]
fn a_database_that_cannot_be_written_is_an_error_that_names_it() {
    let config = StoreConfig { path: "/proc/agentd.db".into(), ..StoreConfig::default() };
    let error = Store::open(&config, 10, Feed::default()).expect_err("/proc takes no files");
    assert!(error.to_string().contains("/proc/agentd.db"), "{error}");
}

#[tokio::test]
async fn each_audit_record_carries_the_hash_of_the_one_before() {
    let folder = tempfile::tempdir().unwrap();
    let bench = open(folder.path(), 10);
    for id in ["a", "b", "c"] {
        accept(&bench.store, id).await;
        bench.store.finish(ending(id, &[])).await.unwrap();
    }
    bench.close();
    let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
    let path = folder.path().join("a.db");
    let connection = rusqlite::Connection::open_with_flags(path, flags).unwrap();
    let mut statement = connection.prepare("SELECT record, hash FROM audit ORDER BY seq").unwrap();
    let rows = statement
        .query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, Vec<u8>>(1)?)))
        .unwrap();
    let mut before = vec![0; 32];
    let mut count = 0;
    for row in rows {
        let (record, hash) = row.unwrap();
        assert_eq!(hash, agentd::store::audit::chain(&before, &record));
        (before, count) = (hash, count + 1);
    }
    assert_eq!(count, 3);
}
