//! What the real model says of one request behind both orders of its tools.

use std::time::Instant;

use agentd::agent::view::{Request, Views};
use agentd::model::config::ModelConfig;
use agentd::model::{Answer, second};
use agentd_tools::ToolSpec;
use agentd_tools::spec::Priority;

use super::support::{PATIENCE, Running, greenhouse};

fn request() -> Request {
    Request {
        say: "it is too dry in there".into(),
        before: Vec::new(),
        priority: Priority::Normal,
        deadline: Instant::now() + PATIENCE,
    }
}

async fn asked(running: &Running, tools: Vec<ToolSpec>, second_opinion: f32) -> (Answer, bool) {
    let limits = ModelConfig { second_opinion, grounded: false, ..ModelConfig::default() };
    let (views, deadline) = (Views::new(tools.into(), &limits), Instant::now() + PATIENCE);
    views.prepare(&running.model, deadline).await.expect("the model can be asked");
    let before = views.ask(&running.model, &request(), None).await.expect("the model can be asked");
    assert!(!before.1, "the second view is not there yet");
    let prepared =
        views.prepare_second(&running.model, deadline).await.expect("the model can be asked");
    assert_eq!(prepared.is_some(), second_opinion > 0.0);
    let asked = views.ask(&running.model, &request(), None).await.expect("the model can be asked");
    views.forget_second();
    let after = views.ask(&running.model, &request(), None).await.expect("the model can be asked");
    assert_eq!((after.0.text, after.1), (before.0.text, false), "it was forgotten");
    asked
}

#[tokio::test]
async fn what_the_model_is_not_sure_of_is_the_mean_of_both_orders() {
    let running = Running::real().await;
    let tools = greenhouse();
    let reversed: Vec<ToolSpec> = tools.iter().rev().cloned().collect();
    let (one, was_asked_twice) = asked(&running, tools.clone(), 0.0).await;
    assert!(!was_asked_twice);
    let (other, _) = asked(&running, reversed, 0.0).await;
    // Whatever is said, it is less than quite sure.
    let (both, was_asked_twice) = asked(&running, tools, 1.0).await;
    assert!(was_asked_twice);
    let mean = second::mean(one.clone(), other);
    assert_eq!(both.text, mean.text);
    // Other batches round differently.
    assert!((both.confidence - mean.confidence).abs() < 0.02, "{both:?} {mean:?}");
    assert!(both.usage.decodes > one.usage.decodes);
    running.stop().await;
}
