//! How soon the loss of a broker is noticed, and how soon what waited arrives when it is back.

use std::time::{Duration, Instant};

use agentd_tests::{Machine, NO_MODEL, PATIENCE, Setting};
use serde_json::{Map, Value};

use super::spread;

/// Stops and starts the broker; a command is given in between.
pub(super) async fn measure(restarts: usize) -> Map<String, Value> {
    let setting = Setting { mqtt: Some(5), config: NO_MODEL.into(), ..Setting::default() };
    let mut machine = Machine::start(setting).await;
    let (mut noticed, mut recovered) = (Vec::new(), Vec::new());
    for _ in 0..restarts {
        let begun = Instant::now();
        machine.stop_broker().await;
        machine.until("the loss is noticed", async |m| m.metric("agentd_link_up").await == 0).await;
        noticed.push(begun.elapsed());
        let outcome = machine.ask("turn on the pump").await;
        // So long that the pauses between attempts have grown.
        tokio::time::sleep(Duration::from_secs(5)).await;
        let begun = Instant::now();
        machine.start_broker().await;
        let observer = machine.observer.as_ref().expect("the machine has a broker");
        assert_eq!(observer.events_of(&[outcome.id], PATIENCE).await, 1);
        recovered.push(begun.elapsed());
    }
    Map::from_iter([
        ("broker_loss_noticed_ms".to_owned(), spread(&mut noticed)),
        ("broker_back_to_event_ms".to_owned(), spread(&mut recovered)),
    ])
}
