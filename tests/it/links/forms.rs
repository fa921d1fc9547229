//! What the page shows, and how what is filled in there reaches the agent.

use serde_json::{Value, json};

use super::Desk;

#[tokio::test]
async fn each_kind_of_field_reaches_the_agent_as_what_it_is() {
    let desk = Desk::new(&[]).await;
    let schema = json!({
        "$defs": {"speed": {"enum": ["fast", "slow"]}},
        "type": "object", "additionalProperties": false, "required": ["amount", "count", "how", "who"],
        "properties": {
            "amount": {"type": "number", "minimum": 0, "title": "Amount in €", "description": "Without tax."},
            "count": {"type": "integer", "maximum": 10, "default": 2},
            "gift": {"type": "boolean"},
            "how": {"$ref": "#/$defs/speed"},
            "note": {"type": ["string", "null"]},
            "who": {"type": "string", "minLength": 1, "maxLength": 20}
        }
    });
    let pause = desk.open(&json!({"response_schema": schema, "feedback_required": ["rejected"]})).await;
    let link = desk.link(&pause, "zoe").await;
    desk.get(&link).await.shows(
        200,
        &[
            "Amount in €",
            "Without tax.",
            "name=\"field.amount\" value=\"\" required min=\"0\" step=\"any\" aria-describedby=\"field-0-hint\"",
            "name=\"field.count\" value=\"2\" required max=\"10\" step=\"1\"",
            "<input type=\"checkbox\" id=\"field-2\" name=\"field.gift\" value=\"true\">",
            "<option value=\"&#34;slow&#34;\">slow</option>",
            "name=\"field.note\"",
            "minlength=\"1\" maxlength=\"20\"",
            "Needed for: Reject.",
        ],
    );
    let filled = [
        ("decision", "approved"),
        ("field.amount", "12.50"),
        ("field.count", "3"),
        ("field.gift", "true"),
        ("field.how", "\"slow\""),
        ("field.note", "two\r\nlines & <b>"),
        ("field.who", "Zoë 🦀"),
    ];
    // What is wrong comes back with all that was typed.
    for (name, value, why) in [
        ("field.amount", "much", "This is no number."),
        ("field.amount", "", "Fill this in."),
        ("field.amount", "-1", "less than the minimum"),
        ("field.count", "3.5", "not of type"),
        ("field.how", "\"later\"", "This is none of the options."),
        ("field.who", "", "shorter than 1 character"),
    ] {
        let mut wrong = filled;
        wrong.iter_mut().filter(|(part, _)| *part == name).for_each(|part| part.1 = value);
        let back = desk.send(&link, &wrong).await;
        back.shows(422, &[why, "class=\"field wrong\"", "aria-invalid=\"true\"", "role=\"alert\""]);
        back.shows(422, &["two\nlines &#38; &#60;b&#62;</textarea>", "value=\"true\" checked"]);
        assert_eq!(back.html.contains("\" selected>slow"), name != "field.how", "{}", back.html);
    }
    desk.send(&link, &[("decision", "rejected")]).await.shows(422, &["Say why: “Reject” needs it."]);
    desk.decide(&link, &filled).await.shows(200, &["Decided: approved", "12.50".trim_end_matches('0'), "Zoë 🦀"]);
    let told = desk.told(&pause).await;
    let response = json!({
        "amount": 12.5, "count": 3, "gift": true, "how": "slow", "note": "two\nlines & <b>", "who": "Zoë 🦀"
    });
    assert_eq!(told["response"], response);
    desk.host.assert_unharmed();
}

#[tokio::test]
async fn who_refuses_needs_no_form_and_an_empty_one_has_its_defaults() {
    let desk = Desk::new(&[]).await;
    let schema = json!({"properties": {"amount": {"type": "number"}, "n": {"type": "integer", "default": 7}},
                        "required": ["amount"]});
    let pause = desk.open(&json!({"response_schema": schema})).await;
    let link = desk.link(&pause, "zoe").await;
    let half = [("decision", "rejected"), ("field.amount", ""), ("field.n", "9")];
    desk.decide(&link, &half).await.shows(200, &["Decided: rejected"]);
    assert!(desk.told(&pause).await["response"].is_null());

    let pause = desk.open(&json!({"response_schema": schema})).await;
    let link = desk.link(&pause, "zoe").await;
    desk.decide(&link, &[("decision", "approved"), ("field.amount", "1")]).await;
    assert_eq!(desk.told(&pause).await["response"], json!({"amount": 1, "n": 7}));
}

#[tokio::test]
async fn a_payload_is_edited_on_the_page_or_approved_as_it_is() {
    let desk = Desk::new(&[]).await;
    let payload = json!({"draft": "Hello\n<world>", "limit": 100, "send": true});
    let request = json!({"payload": payload, "editable": true});
    let form = |draft: &'static str, limit: &'static str| {
        [("decision", "approved"), ("field.draft", draft), ("field.limit", limit), ("field.send", "true")]
    };
    for (draft, limit) in [("Hello\r\n<world>", "100"), ("Bye", "1e2")] {
        let pause = desk.open(&request).await;
        let link = desk.link(&pause, "zoe").await;
        let page = desk.get(&link).await;
        page.shows(
            200,
            &[
                "Hello\n&#60;world&#62;</textarea>",
                "value=\"100\"",
                "checked",
                "What is to be decided",
                "href=\"style.css\"",
            ],
        );
        desk.decide(&link, &form(draft, limit)).await.shows(200, &["Decided: approved"]);
        let told = desk.told(&pause).await;
        let (draft, limit): (_, Value) = (draft.replace("\r\n", "\n"), serde_json::from_str(limit).unwrap());
        assert_eq!(told["response"], json!({"draft": draft, "limit": limit, "send": true}));
    }

    // What fields cannot show is edited as JSON.
    let pause = desk.open(&json!({"payload": {"lines": [1, 2]}, "editable": true})).await;
    let link = desk.link(&pause, "zoe").await;
    desk.get(&link).await.shows(200, &["name=\"response\"", "&#34;lines&#34;: ["]);
    let wrong = [("decision", "approved"), ("response", "{\"lines\":")];
    desk.send(&link, &wrong).await.shows(422, &["This is no JSON", "{&#34;lines&#34;:</textarea>"]);
    desk.decide(&link, &[("decision", "approved"), ("response", "{\"lines\":[3]}")]).await;
    assert_eq!(desk.told(&pause).await["response"], json!({"lines": [3]}));
}

#[tokio::test]
async fn markup_of_an_agent_or_a_reviewer_is_text_and_no_address_of_theirs_runs() {
    let desk = Desk::new(&[]).await;
    let evil = "</textarea><script>alert(1)</script>\"'><img src=x onerror=alert(1)>";
    let schema = json!({"properties": {evil: {"enum": [evil], "title": evil, "description": evil},
                                       "t": {"type": "string", "default": evil}}});
    let request = json!({
        "title": evil, "payload": {evil: [evil, {evil: evil}], "rows": [{evil: "<i>"}, {evil: "<u>"}]},
        "approval_request_url": "javascript:alert(1)", "response_schema": schema,
        "choices": ["<script>alert(2)</script>", "ok"], "feedback_required": ["<script>alert(2)</script>"],
        "stages": [{"required": 2}],
    });
    let pause = desk.open(&request).await;
    let [link, other] = [desk.link(&pause, evil).await, desk.link(&pause, "zoe").await];
    let parts = [("decision", "<script>alert(2)</script>"), ("field.t", evil), ("feedback", "")];
    let pages = [
        desk.get(&link).await,
        desk.send(&link, &parts).await,
        desk.decide(&link, &[("decision", "ok"), ("feedback", evil), ("field.t", evil)]).await,
        desk.get(&other).await,
        desk.decide(&other, &[("decision", "ok"), ("field.t", evil)]).await,
    ];
    for page in pages {
        page.lacks(&["<script", "<img", "<i>", "<u>", "href=\"javascript", "onerror=alert(1)>\""]);
        let policy = page.headers["content-security-policy"].to_str().unwrap();
        for rule in ["default-src 'none'", "style-src 'self'", "form-action 'self'", "frame-ancestors 'none'"] {
            assert!(policy.contains(rule) && !policy.contains("unsafe"), "{policy}");
        }
        for (name, value) in [
            ("referrer-policy", "no-referrer"),
            ("cache-control", "no-store"),
            ("x-robots-tag", "noindex"),
            ("x-content-type-options", "nosniff"),
        ] {
            assert_eq!(page.headers[name], value);
        }
        assert!(page.headers.get("set-cookie").is_none());
    }
    let web = desk.open(&json!({"approval_request_url": "https://cms.example/d/1?a=1&b=\"2\""})).await;
    let link = desk.link(&web, "zoe").await;
    let anchor = "<a href=\"https://cms.example/d/1?a=1&#38;b=&#34;2&#34;\" rel=\"noopener noreferrer\">";
    desk.get(&link).await.shows(200, &[anchor]);
    desk.host.assert_unharmed();
}
