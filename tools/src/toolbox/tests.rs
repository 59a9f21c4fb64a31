use super::*;
use serde_json::json;
use std::time::Duration;

struct Fixture {
    _dir: tempfile::TempDir,
    toolbox: Toolbox,
    tasks: Vec<PortTask>,
}

fn specs() -> Vec<ToolSpec> {
    let specs = json!([
        {"name": "set_output", "description": "d", "kind": "serial", "port": "board",
         "params": {"device": {"enum": ["fan", "pump"]}}, "send": "SET {device}",
         "expect": "^OK", "timeout_ms": 100, "reply": "The {device} is on."},
        {"name": "average", "description": "d", "kind": "sql",
         "params": {"sensor": {}, "hours": {"type": "integer", "default": 1}},
         "sql": "SELECT avg(value) AS mean, count(*) AS n FROM readings WHERE sensor = :sensor",
         "reply": "{sensor}: {mean:.1} of {n}.", "reply_none": "No {sensor} in {hours} h."},
        {"name": "count", "description": "d", "kind": "sql",
         "sql": "SELECT count(*) AS n, max(value) AS most FROM readings"},
        {"name": "latest", "description": "d", "kind": "sql", "sql": "SELECT value FROM readings"},
        {"name": "call", "description": "d", "kind": "publish", "event": "call",
         "params": {"reason": {"max_length": 20}}},
        {"name": "note", "description": "d", "kind": "note", "reply": "Noted: {text}"},
    ]);
    specs.as_array().unwrap().iter().cloned().map(ToolSpec::from_json).collect()
}

fn ports() -> Vec<SerialSpec> {
    vec![SerialSpec::for_test("board", Path::new("/nowhere/ttyACM0"))]
}

#[expect(clippy::disallowed_methods, reason = "the test plays the store")]
fn fixture() -> Fixture {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("agentd.db");
    let store = rusqlite::Connection::open(&path).unwrap();
    store.execute_batch("CREATE TABLE readings (sensor TEXT, value REAL)").unwrap();
    let (toolbox, tasks) = Toolbox::open(specs(), ports(), &path).unwrap();
    Fixture { _dir: dir, toolbox, tasks }
}

fn object(value: Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(10)
}

#[test]
fn tools_stand_in_the_order_of_the_file_and_are_found_by_name() {
    let toolbox = fixture().toolbox;
    let names: Vec<&str> = toolbox.specs().map(|spec| spec.name.as_str()).collect();
    assert_eq!(names, ["set_output", "average", "count", "latest", "call", "note"]);
    assert_eq!(toolbox.get("note").map(|spec| spec.params.len()), Some(1), "its default");
    assert_eq!(toolbox.nearest("set_ouput"), Some("set_output"));
    let ports = toolbox.port_states();
    assert_eq!((ports.len(), ports[0].0.as_str()), (1, "board"));
    assert_eq!(*ports[0].1.borrow(), PortState::Unknown);
}

#[test]
fn an_unknown_tool_is_told_with_its_nearest() {
    let errors = fixture().toolbox.check_args("averge", &Map::new()).unwrap_err();
    assert_eq!(errors.to_string(), "there is no tool `averge` (did you mean `average`?)");
}

#[test]
fn all_mistakes_are_told_at_once_with_their_section() {
    let mut tools = specs();
    tools[0].port = Some("bord".into());
    tools[4].name = "note".into();
    let mut ports = ports();
    ports.push(ports[0].clone());
    let Err(error) = Toolbox::open(tools, ports, Path::new("/nowhere")) else { panic!("opened") };
    let told: Vec<(&str, usize, &str)> =
        error.mistakes.iter().map(|m| (m.section, m.index, m.error.key.as_str())).collect();
    assert_eq!(told, [("serial", 1, "name"), ("tool", 0, "port"), ("tool", 5, "name")]);
    assert!(error.to_string().starts_with("[[serial]] `board`: `name` is taken"), "{error}");
}

#[test]
fn mistakes_that_only_the_database_finds_are_told_together() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("none.db");
    let Err(error) = Toolbox::open(specs(), ports(), &path) else { panic!("opened") };
    let told: Vec<&str> = error.mistakes.iter().map(|m| m.name.as_str()).collect();
    assert_eq!(told, ["average", "count", "latest"]);
}

#[test]
fn a_reply_is_made_from_what_came_back() {
    let toolbox = fixture().toolbox;
    let reply = |name: &str, args: Value, fields: Value| {
        toolbox.reply(name, &object(args), &object(fields))
    };
    let args = json!({"sensor": "t", "hours": 3});
    assert_eq!(reply("average", args.clone(), json!({"mean": 21.04, "n": 2})), "t: 21.0 of 2.");
    assert_eq!(reply("average", args.clone(), json!({"mean": null, "n": 0})), "No t in 3 h.");
    assert_eq!(reply("average", args, json!({})), "No t in 3 h.");
    let device = json!({"device": "fan"});
    assert_eq!(reply("set_output", device.clone(), json!({})), "The fan is on.");
    let won = reply("set_output", device, json!({"device": "pump"}));
    assert_eq!(won, "The pump is on.", "what came back goes before what was asked");
    assert_eq!(reply("count", json!({}), json!({"n": 0, "most": null})), "count: n = 0.");
    assert_eq!(reply("count", json!({}), json!({"n": 2, "most": 3.0})), "count: n = 2, most = 3.");
    assert_eq!(reply("latest", json!({}), json!({})), "latest: nothing was found.");
    assert_eq!(reply("call", json!({"reason": "smoke"}), json!({})), "Done: call(reason=smoke).");
}

#[tokio::test]
async fn each_kind_runs_by_its_name() {
    let toolbox = fixture().toolbox;
    let output = toolbox.run("count", &Map::new(), soon()).await.unwrap();
    assert_eq!(output.fields["n"], json!(0));
    let output = toolbox.run("call", &object(json!({"reason": "x"})), soon()).await.unwrap();
    assert_eq!(output.effects.len(), 1);
    let output = toolbox.run("note", &object(json!({"text": "x"})), soon()).await.unwrap();
    assert_eq!(output.effects.len(), 1);
    let failure = toolbox.run("reboot", &Map::new(), soon()).await.unwrap_err();
    assert_eq!(failure.error.code(), "bad_request");
}

#[tokio::test]
async fn a_call_that_never_gets_its_turn_ends_at_the_deadline_and_says_that_nothing_was_sent() {
    let fixture = fixture();
    let began = Instant::now();
    let args = object(json!({"device": "fan"}));
    // The task does not run yet, so that the call waits for its turn.
    let deadline = began + Duration::from_millis(100);
    let failure = fixture.toolbox.run("set_output", &args, deadline).await.unwrap_err();
    assert_eq!((failure.error.code(), failure.error.effect_unknown()), ("busy", false));
    assert!(began.elapsed() >= Duration::from_millis(100), "{:?}", began.elapsed());
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    assert_eq!(fixture.tasks.len(), 1);
}
