//! Lists and objects within a call.

use agentd_tools::param::DEFAULT_MAX_ITEMS;

use super::*;

fn scene() -> ToolSpec {
    let level = number(ParamKind::Integer, 0.0, 9.0);
    let light =
        object([("level", may_be_left_out(level)), ("colour", words(&["red", "dim white"]))]);
    let rooms = list(words(&["hall", "attic"]), Some(3));
    tool("scene", [("rooms".to_owned(), rooms), ("light".to_owned(), may_be_left_out(light))])
}

#[test]
fn lists_and_objects_are_written_as_a_call_prints_them() {
    let grammar = calls(&[&scene()], 1, None);
    for text in [
        r#"scene(rooms=["hall"])"#,
        r#"scene(rooms=["attic", "hall", "hall"])"#,
        r#"scene(rooms=["hall"], light={"colour": "dim white"})"#,
        r#"scene(rooms=["hall"], light={"level": 9, "colour": "red"})"#,
    ] {
        accepts(&grammar, text);
        let read = parse_calls(text).unwrap_or_else(|why| panic!("{why}: {text}"));
        assert_eq!(answer(&read), text);
    }
    rejects(&grammar, "scene(rooms=[", "]");
    rejects(&grammar, "scene(rooms=[", "hall");
    rejects(&grammar, r#"scene(rooms=["hall","#, r#""attic""#);
    rejects(&grammar, r#"scene(rooms=["hall", "hall", "hall""#, ", ");
    rejects(&grammar, r#"scene(rooms=["hall"], light={"#, "}");
    rejects(&grammar, r#"scene(rooms=["hall"], light={"level": 9"#, "}");
    rejects(&grammar, r#"scene(rooms=["hall"], light={"colour": "red""#, ", ");
}

#[test]
fn a_list_has_at_most_its_bound_of_items_and_may_hold_objects_with_lists() {
    let flags = |most| {
        let flag = Param { kind: ParamKind::Boolean, ..Param::default() };
        calls(&[&tool("f", [("l".to_owned(), list(flag, most))])], 1, None)
    };
    let text = |n: usize| format!("f(l=[{}", vec!["true"; n].join(", "));
    for (most, n) in [(Some(1), 1), (Some(2), 2), (None, DEFAULT_MAX_ITEMS)] {
        accepts(&flags(most), &format!("{}])", text(n)));
        rejects(&flags(most), &text(n), ", ");
    }
    let deep = list(object([("names", list(words(&["a"]), None))]), None);
    let deep = calls(&[&tool("f", [("l".to_owned(), deep)])], 1, None);
    accepts(&deep, r#"f(l=[{"names": ["a", "a"]}, {"names": ["a"]}])"#);
}

#[test]
fn what_is_nested_is_grounded_too() {
    let minutes = || Param { unit: Unit::of("minutes"), ..number(ParamKind::Integer, 1.0, 240.0) };
    let time = Param { format: Some(Format::Time), ..Param::default() };
    let specs = [
        tool("run", [("minutes".to_owned(), list(minutes(), None))]),
        tool(
            "plan",
            [("rest".to_owned(), object([("at", may_be_left_out(time)), ("for", minutes())]))],
        ),
    ];
    let specs: Vec<_> = specs.iter().collect();
    let said = calls(&specs, 1, Some(&Grounds::of("five minutes, then ten minutes, at 6pm")));
    accepts(&said, "run(minutes=[5, 10])");
    rejects(&said, "run(minutes=[5, 1", "5");
    accepts(&said, r#"plan(rest={"at": "18:00", "for": 10})"#);
    let less = calls(&specs, 1, Some(&Grounds::of("run it")));
    rejects(&less, "run(", "minutes");
    rejects(&less, "plan(", "rest");
    accepts(&less, "run()");
    accepts(&less, "plan()");
}
