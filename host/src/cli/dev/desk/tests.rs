use serde_json::json;

use super::*;

fn desk() -> Desk {
    Desk::new(Output::new(true), "hello", true, BTreeMap::new())
}

fn execution(status: &str, attempts: u64) -> Execution {
    serde_json::from_value(json!({
        "id": "exec_000001", "agent": "hello", "function": "announce", "version": 3, "status": status, "error": null,
        "result": if status == "succeeded" { json!({"ok": true}) } else { json!(null) }, "waiting_for": null,
        "parent": null, "attempts": attempts, "entries": 0, "created_at": "", "started_at": null, "finished_at": null
    }))
    .expect("an execution")
}

fn pause(name: &str, choices: &[&str], schema: Option<&Value>) -> Pause {
    serde_json::from_value(json!({
        "id": format!("exec_000001:{name}"), "execution": "exec_000001", "status": "open", "title": name,
        "payload": {"text": "one\n\u{1b}[2Jtwo"}, "choices": choices, "response_schema": schema
    }))
    .expect("a pause")
}

fn waiting(desk: &mut Desk, pauses: Vec<Pause>) -> Vec<String> {
    desk.hear(News::Status(Box::new(execution("waiting", 1)), pauses))
}

const USUAL: [&str; 3] = ["approved", "rejected", "request_changes"];

fn says(task: Option<Task>, text: &str) -> bool {
    matches!(task, Some(Task::Say(said)) if said.starts_with(text))
}

fn typed(desk: &mut Desk, text: &str) {
    for c in text.chars() {
        assert_eq!(desk.press(&Key::Char(c)), None);
    }
}

#[test]
fn one_key_decides_the_pause_that_the_bottom_line_names() {
    let mut desk = desk();
    assert_eq!(desk.press(&Key::Char('a')), None, "nothing waits");
    let lines = waiting(&mut desk, vec![pause("first", &USUAL, None), pause("second", &USUAL, None)]);
    assert_eq!(lines[0], "000001 waits     for a decision: first\n        │ text:\n        │ one\n        │ [2Jtwo");
    assert_eq!(desk.bottom(), "a approve   r reject   c request changes   n next   ? keys   q quit   [1/2] first");
    let approve =
        |name: &str| Some(Task::Decide { pause: format!("exec_000001:{name}"), body: json!({"decision": "approved"}) });
    assert_eq!(desk.press(&Key::Char('a')), approve("first"));
    assert_eq!(desk.press(&Key::Char('n')), None);
    assert_eq!(desk.press(&Key::Char('a')), approve("second"));
    assert_eq!(waiting(&mut desk, vec![pause("first", &USUAL, None)]).len(), 1);
    assert_eq!(desk.press(&Key::Char('a')), approve("first"));
}

#[test]
fn who_wants_changes_is_asked_which() {
    let mut desk = desk();
    waiting(&mut desk, vec![pause("draft", &USUAL, None)]);
    assert!(says(desk.press(&Key::Char('c')), "What should change?"));
    typed(&mut desk, "qa");
    assert_eq!(desk.bottom(), "feedback: qa_", "letters are no commands now");
    assert_eq!(desk.press(&Key::Escape), None);
    desk.press(&Key::Char('c'));
    typed(&mut desk, "Shorter.");
    let body = json!({"decision": "request_changes", "feedback": "Shorter."});
    assert_eq!(desk.press(&Key::Enter), Some(Task::Decide { pause: "exec_000001:draft".into(), body }));
    desk.press(&Key::Char('c'));
    desk.hear(News::Status(Box::new(execution("running", 2)), vec![]));
    assert_eq!(desk.press(&Key::Enter), Some(Task::Say("Somebody else has decided it.".into())));
}

#[test]
fn other_choices_have_numbers_and_a_form_is_asked_for() {
    let mut desk = desk();
    let schema = json!({"type": "object", "properties": {"limit": {"type": "integer"}}, "required": ["limit"]});
    waiting(&mut desk, vec![pause("budget", &["small", "approved", "large"], Some(&schema))]);
    assert!(desk.bottom().starts_with("1 small   a approve   2 large"), "{}", desk.bottom());
    assert_eq!(desk.press(&Key::Char('3')), None);
    assert!(says(desk.press(&Key::Char('2')), "The form, as JSON"));
    assert_eq!(desk.bottom(), "response: {\"limit\":0}_");
    typed(&mut desk, "x");
    assert!(says(desk.press(&Key::Enter), "That is no JSON"));
    desk.press(&Key::Backspace);
    let body = json!({"decision": "large", "response": {"limit": 0}});
    assert_eq!(desk.press(&Key::Enter), Some(Task::Decide { pause: "exec_000001:budget".into(), body }));
}

#[test]
fn an_input_is_remembered() {
    let mut desk = desk();
    assert!(says(desk.press(&Key::Char('s')), "Nothing is deployed"));
    let schema = json!({"type": "object", "properties": {"brief": {"type": "string"}}, "required": ["brief"]});
    let function = |name: &str| json!({"name": name, "description": null, "input_schema": schema});
    let functions = |names: &[&str]| {
        serde_json::from_value(json!(names.iter().map(|name| function(name)).collect::<Vec<_>>())).expect("functions")
    };
    desk.deployed(functions(&["announce"]));
    desk.press(&Key::Char('s'));
    assert_eq!(desk.bottom(), r#"input: {"brief":""}_"#);
    desk.press(&Key::Forget);
    typed(&mut desk, r#"{"brief":"b"}"#);
    let start =
        |function: &str| Some(Task::Start { target: format!("hello.{function}"), input: json!({"brief": "b"}) });
    assert_eq!(desk.press(&Key::Enter), start("announce"));
    desk.deployed(functions(&["withdraw", "announce"]));
    desk.press(&Key::Char('s'));
    assert_eq!(desk.bottom(), "function: announce_");
    assert!(says(desk.press(&Key::Enter), "The input of announce"));
    assert_eq!(desk.press(&Key::Enter), start("announce"));
    desk.press(&Key::Char('s'));
    typed(&mut desk, "x");
    assert_eq!(desk.press(&Key::Enter), Some(Task::Say("There is no function \"announcex\".".into())));
}

#[test]
fn the_same_news_is_told_once() {
    let mut desk = desk();
    assert_eq!(desk.hear(News::New(Box::new(execution("pending", 0)))).len(), 1);
    assert_eq!(waiting(&mut desk, vec![]).len(), 1);
    assert_eq!(waiting(&mut desk, vec![]), [""; 0]);
    let ended = desk.hear(News::Status(Box::new(execution("succeeded", 2)), vec![]));
    assert_eq!(ended, ["000001 succeeded {\"ok\":true}"]);
}

#[test]
fn ctrl_c_quits_even_while_somebody_types() {
    let mut desk = desk();
    waiting(&mut desk, vec![pause("draft", &USUAL, None)]);
    desk.press(&Key::Char('c'));
    assert_eq!(desk.press(&Key::Quit), Some(Task::Quit));
}
