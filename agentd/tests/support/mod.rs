//! A board without hardware: a real store, and an agent that knows a few sentences.

use std::sync::Arc;
use std::time::Duration;

use agentd::command::{self, Call, CallRecord, Denial, Outcome, Route, Status, elapsed_ms};
use agentd::feed::{Feed, Notice};
use agentd::front::Front;
use agentd::health::Health;
use agentd::http::{AppState, Http, HttpConfig};
use agentd::metrics::Metrics;
use agentd::store::{Ending, Plan, Store, StoreConfig, Trace, Waiting};
use agentd_tools::WireFrame;
use serde_json::{Map, json};

/// The store and what stands around it, in a folder that goes with it.
pub(crate) struct Board {
    pub(crate) store: Store,
    pub(crate) health: Health,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) front: Front,
    pub(crate) folder: tempfile::TempDir,
}

impl Board {
    /// A board on which this many commands may wait.
    pub(crate) fn new(most_waiting: u32) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let config = StoreConfig { path: folder.path().join("a.db"), ..StoreConfig::default() };
        let feed = Feed::default();
        let store = Store::open(&config, most_waiting, feed.clone()).expect("a store").store;
        let metrics = Arc::new(Metrics::default());
        let timeout = Duration::from_secs(30);
        let front = Front::new(store.clone(), metrics.clone(), timeout)
            .with_slack(Duration::from_millis(50));
        Self { store, health: Health::new(feed), metrics, front, folder }
    }

    /// What the HTTP side knows of this board.
    pub(crate) fn app(&self) -> AppState {
        AppState {
            front: self.front.clone(),
            health: self.health.clone(),
            metrics: self.metrics.clone(),
            device: "greenhouse-1".into(),
            version: env!("CARGO_PKG_VERSION"),
            started_at: command::now(),
            capabilities: Arc::new(json!({
                "tools": [{"name": "set_output", "description": "switch a device on or off"}],
                "examples": ["turn on the pump", "open the roof", "call a technician",
                             "how warm was it today?"],
                "units": {"temperature": "°C", "humidity": "%", "soil moisture": "%"},
            })),
            model: Arc::new(|| json!({"state": "ready", "name": "smollm2-135m", "sha256": "0"})),
        }
    }

    /// Its HTTP side, on a port of the system's choice and a socket in its folder.
    pub(crate) async fn http(&self, change: impl FnOnce(&mut HttpConfig)) -> Http {
        let mut config = HttpConfig {
            listen: Some(([127, 0, 0, 1], 0).into()),
            socket: Some(self.folder.path().join("agentd.sock")),
            token_file: None,
        };
        change(&mut config);
        Http::bind(&config, self.app()).await.expect("bound")
    }

    /// Carries commands out until it is dropped.
    pub(crate) async fn agent(&self) {
        let mut changed = self.store.inbox_changed();
        let mut left_alone = Vec::new();
        loop {
            changed.borrow_and_update();
            while let Some(waiting) =
                self.store.next(left_alone.clone()).await.expect("the store answers")
            {
                // Its lane stays busy for ever: a command that never ends.
                if waiting.command.text.as_deref() == Some("never end") {
                    left_alone.push(waiting.lane);
                } else {
                    self.carry_out(waiting).await;
                }
            }
            changed.changed().await.expect("the store lives");
        }
    }

    async fn carry_out(&self, waiting: Waiting) {
        let id = waiting.command.id.clone();
        let text = waiting.command.summary();
        let feed = self.store.feed();
        let route = if text.ends_with('?') { Route::Model } else { Route::Reflex };
        feed.tell(Notice::Routed { id: id.clone(), route });
        let (call, sent, answer, reply) = match text.as_str() {
            "fail" => {
                let why = Denial::new("no_answer", "board did not answer within 2000 ms");
                let words = "The board did not answer. Check its cable.";
                return self.end(&waiting, Status::Failed, words, route, vec![], Some(why)).await;
            }
            "do harm" => {
                let why = Denial::new("not_allowed", "you may not do that");
                let words = "You may not do that. Nothing was done.";
                return self.end(&waiting, Status::Denied, words, route, vec![], Some(why)).await;
            }
            "open the roof" if waiting.approved_by.is_none() => {
                let words = "Opening the roof needs somebody's approval.";
                return self
                    .end(&waiting, Status::WaitingApproval, words, route, vec![], None)
                    .await;
            }
            "open the roof" => ("roof", "SET roof open\r\n", "OK\r\n", "The roof is now open."),
            _ => ("pump", "SET pump on\r\n", "OK\r\n", "The pump is now on."),
        };
        let args: Map<_, _> = [("device", call), ("state", "on")]
            .map(|(key, value)| (key.to_owned(), value.into()))
            .into_iter()
            .collect();
        let call = Call { tool: "set_output".into(), args: args.clone() };
        feed.tell(Notice::CallStarted { id: id.clone(), call: call.to_string() });
        let record = CallRecord {
            tool: call.tool,
            args,
            ok: true,
            result: Some(Map::new()),
            error: None,
            settled: None,
            ms: 12,
        };
        let frame = |sent, text: &str| WireFrame { sent, text: text.escape_debug().to_string() };
        let wire = vec![frame(true, sent), frame(false, answer)];
        feed.tell(Notice::CallEnded { id, record: record.clone(), wire });
        self.end(&waiting, Status::Done, reply, route, vec![record], None).await;
    }

    async fn end(
        &self,
        waiting: &Waiting,
        status: Status,
        text: &str,
        route: Route,
        calls: Vec<CallRecord>,
        error: Option<Denial>,
    ) {
        let now = command::now();
        let traces = calls.iter().map(|_| Trace { acted: true, ..Trace::default() }).collect();
        let plan = (!status.is_final()).then(|| Plan {
            route,
            model: None,
            confidence: None,
            calls: vec![],
        });
        let outcome = Outcome {
            id: waiting.command.id.clone(),
            status,
            text: text.into(),
            route,
            model: None,
            confidence: None,
            calls,
            error,
            ms: elapsed_ms(waiting.received_at, now),
            received_at: waiting.received_at,
            finished_at: now,
        };
        let ending = Ending { outcome, traces, plan, feedback: None };
        assert!(self.store.finish(ending).await.expect("finished"), "it had not ended before");
    }
}
