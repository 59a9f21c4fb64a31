//! The outbox and the audit log on a real file: bounds, refusals, gaps, and what a restart keeps.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use agentd::command::{Command, Denial, Priority};
use agentd::feed::Feed;
use agentd::store::audit::{self, Head};
use agentd::store::dead::{MAX_LISTED, Which};
use agentd::store::open::OpenError;
use agentd::store::{
    Accepted, Broker, Destination, Origin, OutboxRow, Refusal, Refused, Store, StoreConfig,
};
use proptest::prelude::*;
use serde_json::{Map, Value};

fn config(path: &Path) -> StoreConfig {
    StoreConfig { path: path.join("a.db"), outbox_attempts: 3, ..StoreConfig::default() }
}

fn open(config: &StoreConfig) -> Store {
    Store::open(config, 10, Feed::default()).expect("opens").store
}

/// Opens the database again once the last handle's thread has let go of it.
fn open_again(config: &StoreConfig, store: Store) -> Store {
    drop(store);
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    loop {
        match Store::open(config, 10, Feed::default()) {
            Ok(opened) => return opened.store,
            Err(OpenError::InUse { .. }) if std::time::Instant::now() < deadline => {
                std::thread::yield_now();
            }
            Err(error) => panic!("it opens again: {error}"),
        }
    }
}

async fn rows(store: &Store) -> Vec<OutboxRow> {
    store.pending(Broker::Upstream, Vec::new(), 1000).await.expect("read")
}

fn payload(row: &OutboxRow) -> Value {
    serde_json::from_str(&row.payload).expect("JSON")
}

fn kind(row: &OutboxRow) -> &str {
    match &row.destination {
        Destination::Own(topic) => topic,
        Destination::Reply { topic, .. } => topic,
    }
}

async fn refuse(store: &Store, id: i64) -> Option<Refused> {
    store.refused(id, "not authorised".into(), Refusal::Counted).await.expect("counted")
}

#[tokio::test]
async fn a_row_dies_at_the_bound_of_refusals_and_not_before_also_over_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path());
    let store = open(&config);
    store.event("alert", Map::new()).await.unwrap();
    let id = rows(&store).await[0].id;
    assert_eq!(refuse(&store, id).await, Some(Refused { attempts: 1, dead: false }));
    let store = open_again(&config, store);
    assert_eq!(refuse(&store, id).await, Some(Refused { attempts: 2, dead: false }));
    assert_eq!(rows(&store).await.len(), 1);
    assert_eq!(refuse(&store, id).await, Some(Refused { attempts: 3, dead: true }));
    assert_eq!(refuse(&store, id).await, None, "it is not sent any more");
    let stats = store.outbox_stats().await.unwrap();
    assert_eq!((stats.dead, stats.dropped), (1, 0));
    let waiting = rows(&store).await;
    let gap = payload(&waiting[0]);
    assert_eq!(gap["ranges"], serde_json::json!([[1, 1]]), "the fleet is told what does not come");
    assert_eq!(gap["causes"], serde_json::json!({"refused": 1}));
}

#[tokio::test]
async fn what_can_never_be_taken_dies_at_once_and_what_tells_of_a_gap_never_does() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&config(folder.path()));
    store.event("alert", Map::new()).await.unwrap();
    let id = rows(&store).await[0].id;
    let refused = store.refused(id, "too large".into(), Refusal::Final).await.unwrap();
    assert!(refused.is_some_and(|refused| refused.dead));
    let gap = rows(&store).await.remove(0);
    assert_eq!(kind(&gap), "event/gap");
    for _ in 0..5 {
        assert!(refuse(&store, gap.id).await.is_some_and(|refused| !refused.dead));
    }
    store.purge_outbox(Which::All).await.unwrap();
    assert_eq!(kind(&rows(&store).await[0]), "event/gap", "nor is it removed");
}

#[tokio::test]
async fn dead_rows_are_listed_first_and_sent_again_or_removed_by_a_person() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&config(folder.path()));
    for _ in 0..4 {
        store.event("alert", Map::new()).await.unwrap();
    }
    let ids: Vec<i64> = rows(&store).await.iter().map(|row| row.id).collect();
    for id in &ids[1..] {
        store.refused(*id, "no".into(), Refusal::Final).await.unwrap();
    }
    let listed = store.list_outbox(MAX_LISTED + 1).await.unwrap();
    let order: Vec<i64> = listed.iter().map(|row| row.id).collect();
    assert_eq!(order, [&ids[1..], &ids[..1]].concat());
    assert_eq!((listed[0].dead.as_deref(), listed[0].attempts), (Some("no"), 1));
    assert_eq!(store.list_outbox(2).await.unwrap().len(), 2);
    assert_eq!(store.retry_outbox(Which::Ids(vec![ids[0], ids[1], 999])).await.unwrap(), 1);
    assert_eq!(store.purge_outbox(Which::Ids(vec![ids[2], 999])).await.unwrap(), 1);
    assert_eq!(store.retry_outbox(Which::Dead).await.unwrap(), 1);
    assert_eq!(store.outbox_stats().await.unwrap().dead, 0);
    let left: BTreeSet<i64> = rows(&store).await.iter().map(|row| row.id).collect();
    assert!([ids[0], ids[1], ids[3]].iter().all(|id| left.contains(id)), "{left:?}");
    assert_eq!(store.purge_outbox(Which::All).await.unwrap(), 3);
}

#[tokio::test]
async fn a_command_of_the_board_s_own_broker_is_answered_there_and_told_upstream() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&config(folder.path()));
    let reply = Some(Destination::Reply { topic: "panel/answer".into(), correlation: None });
    let denial = Denial::new("busy", "later");
    store.refuse("a", denial, Broker::OnBoard, reply).await.unwrap();
    let upstream: Vec<String> = rows(&store).await.iter().map(|row| kind(row).into()).collect();
    assert_eq!(upstream, ["result/a"]);
    let on_board = store.pending(Broker::OnBoard, Vec::new(), 10).await.unwrap();
    let topics: Vec<&str> = on_board.iter().map(kind).collect();
    assert_eq!(topics, ["result/a", "panel/answer"]);
    assert_eq!(store.outbox_stats().await.unwrap().pending, 1, "what waits for the fleet");
}

#[tokio::test]
async fn a_second_daemon_does_not_get_the_database_of_the_first() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path());
    let store = open(&config);
    let error = Store::open(&config, 10, Feed::default()).expect_err("it is in use");
    assert!(matches!(error, OpenError::InUse { .. }));
    assert!(error.to_string().contains("another agentd"), "{error}");
    open_again(&config, store);
}

#[tokio::test]
async fn an_audit_log_that_was_changed_or_cut_off_does_not_verify() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path());
    let store = open(&config);
    for n in 0..5 {
        let id = format!("c{n}");
        let command = Command { id: id.clone(), ..Command::from_text("x") };
        let origin = Origin { source: "test".into(), ..Origin::default() };
        assert!(matches!(store.accept(command, origin).await.unwrap(), Accepted::New(_)));
        assert!(store.cancel(&id).await.unwrap());
    }
    let published = store.audit_head().await.unwrap();
    let whole = audit::verify(&config.path).unwrap();
    assert_eq!((whole.broken.clone(), whole.records, &whole.head), (None, 5, &published));
    assert!(audit::contains(&config.path, &published).unwrap());
    let other = Head { hash: "00".repeat(32), ..published.clone() };
    assert!(!audit::contains(&config.path, &other).unwrap());
    let db = rusqlite::Connection::open_with_flags(
        &config.path,
        rusqlite::OpenFlags::SQLITE_OPEN_READ_WRITE,
    )
    .unwrap();
    let broken = |change: &str| {
        db.execute_batch("BEGIN").unwrap();
        db.execute_batch(change).unwrap();
        db.execute_batch("COMMIT").unwrap();
        audit::verify(&config.path).unwrap().broken.unwrap_or_default()
    };
    assert!(broken("DELETE FROM audit WHERE seq = 5").contains("5 records were written"));
    assert!(!audit::contains(&config.path, &published).unwrap(), "what was published is gone");
    // Whoever also forges SQLite's own counter is found by the published head.
    assert_eq!(broken("UPDATE sqlite_sequence SET seq = 4 WHERE name = 'audit'"), "");
    assert!(!audit::contains(&config.path, &published).unwrap());
    assert!(broken("DELETE FROM audit WHERE seq = 2").contains("record 3: it follows record 1"));
    let forged = "UPDATE audit SET record = replace(record, 'cancelled', 'done') WHERE seq = 1";
    assert!(broken(forged).contains("record 1"));
    assert!(broken("DELETE FROM audit WHERE seq = 1").contains("record 3"));
}

#[derive(Debug, Clone)]
enum Step {
    Event(Priority),
    Deliver(usize),
    Refuse(usize),
    Kill(usize),
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => prop_oneof![Just(Priority::Low), Just(Priority::Normal), Just(Priority::High)]
            .prop_map(Step::Event),
        2 => (0..4_usize).prop_map(Step::Deliver),
        1 => (0..4_usize).prop_map(Step::Refuse),
        1 => (0..4_usize).prop_map(Step::Kill),
        1 => Just(Step::Restart),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Whatever happens, a consumer that has drained the outbox can account for each number: it got the
    /// event, or a gap names it. It gets the events of one priority in their order.
    #[test]
    fn a_consumer_can_account_for_every_number(steps in prop::collection::vec(step(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(async {
            let folder = tempfile::tempdir().expect("a folder");
            let config = StoreConfig { outbox_rows: 6, ..config(folder.path()) };
            let mut store = open(&config);
            let mut sent: i64 = 0;
            let mut got: BTreeMap<i64, Value> = BTreeMap::new();
            for step in steps {
                let rows = rows(&store).await;
                match step {
                    Step::Event(priority) => {
                        // Only tools choose a priority, so the way is that of a tool's effect.
                        common::event(&store, sent, priority).await;
                        sent += 1;
                    }
                    Step::Deliver(n) => if let Some(row) = rows.get(n) {
                        take(&mut got, row);
                        store.delivered(vec![row.id]).await.expect("removed");
                    },
                    Step::Refuse(n) => if let Some(row) = rows.get(n) {
                        store.refused(row.id, "no".into(), Refusal::Counted).await.expect("counted");
                    },
                    Step::Kill(n) => if let Some(row) = rows.get(n) {
                        store.refused(row.id, "no".into(), Refusal::Final).await.expect("counted");
                    },
                    Step::Restart => store = open_again(&config, store),
                }
                let stats = store.outbox_stats().await.expect("counted");
                assert!(stats.pending + stats.dead <= 6 + 1, "bounded, but for what tells of a gap");
            }
            loop {
                let rows = rows(&store).await;
                if rows.is_empty() {
                    break;
                }
                for row in rows {
                    take(&mut got, &row);
                    store.delivered(vec![row.id]).await.expect("removed");
                }
            }
            let last = got.keys().max().copied().unwrap_or(0);
            let mut told: BTreeSet<i64> = BTreeSet::new();
            for gap in got.values().filter(|event| event["ranges"].is_array()) {
                for range in gap["ranges"].as_array().expect("ranges") {
                    let end = |n: usize| range[n].as_i64().expect("a number");
                    told.extend(end(0)..=end(1));
                }
            }
            for seq in 1..=last {
                assert!(got.contains_key(&seq) || told.contains(&seq), "{seq} is lost without a word");
                assert!(!(got.contains_key(&seq) && told.contains(&seq)), "{seq} came and is told as lost");
            }
        });
    }
}

fn take(got: &mut BTreeMap<i64, Value>, row: &OutboxRow) {
    let event = payload(row);
    if let Some(seq) = event["seq"].as_i64() {
        assert!(got.insert(seq, event).is_none(), "{seq} came twice");
    }
}

/// Events as a tool leaves them.
mod common {
    use agentd::command::{Call, CallRecord, Command, Outcome, Priority, Route, Status, now};
    use agentd::store::{Ending, Origin, Store, Trace};
    use agentd_tools::Effect;
    use serde_json::Map;

    pub(super) async fn event(store: &Store, n: i64, priority: Priority) {
        let id = format!("e{n}");
        let command = Command { id: id.clone(), ..Command::from_text("x") };
        let origin = Origin { source: id.clone(), ..Origin::default() };
        store.accept(command, origin).await.expect("accepted");
        let call = Call { tool: "t".into(), args: Map::new() };
        let record = CallRecord {
            tool: call.tool,
            args: call.args,
            ok: true,
            result: None,
            error: None,
            settled: None,
            ms: 0,
        };
        let outcome = Outcome {
            id,
            status: Status::Done,
            text: String::new(),
            route: Route::Direct,
            model: None,
            confidence: None,
            calls: vec![record],
            error: None,
            ms: 0,
            received_at: now(),
            finished_at: now(),
        };
        let payload = Map::new();
        let effect = Effect::Event { kind: "x".into(), payload, priority, ttl_seconds: None };
        let trace = Trace { acted: false, effects: vec![effect] };
        let ending = Ending { outcome, traces: vec![trace], plan: None, feedback: None };
        assert!(store.finish(ending).await.expect("finished"));
    }
}
