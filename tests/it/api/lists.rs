//! Lists: their order, their pages, their filters.

use countersign_tests::build::guest;
use serde_json::{Value, json};

use super::Bench;

impl Bench {
    /// Reads a list by pages of `limit`, each of which must be full but the last, and compares it with one large page.
    async fn paged(&self, path: &str, limit: usize) -> Vec<Value> {
        let whole = self.api.get(&format!("{path}limit=100")).await.expect(200);
        assert_eq!(whole["next"], Value::Null, "{path}");
        let whole = whole["items"].as_array().expect("a list").clone();
        let (mut items, mut after) = (vec![], String::new());
        loop {
            let page = self.api.get(&format!("{path}limit={limit}{after}")).await.expect(200);
            let more = page["items"].as_array().expect("a list").clone();
            assert_eq!(more.len(), limit.min(whole.len() - items.len()), "{path}");
            items.extend(more);
            match page["next"].as_str() {
                Some(next) => after = format!("&after={next}"),
                None => break,
            }
            assert!(items.len() < whole.len(), "{path}: a full last page has no next");
        }
        assert_eq!(items, whole, "{path}");
        items
    }

    /// Starts executions, waits until they have finished, and returns their ids, the newest first.
    async fn finished_ones(&self, target: &str, inputs: &[Value]) -> Vec<String> {
        let mut ids = vec![];
        for input in inputs {
            ids.insert(0, self.api.start(target, input).await);
        }
        for id in &ids {
            self.api.finished(id).await;
        }
        ids
    }
}

fn column<'a>(items: &'a [Value], name: &str) -> Vec<&'a Value> {
    items.iter().map(|item| &item[name]).collect()
}

#[tokio::test]
async fn executions_are_listed_newest_first_by_status_and_agent() {
    let bench = Bench::new().await;
    bench.api.deploy("second", guest("testbed")).await;
    let echoes = bench.finished_ones("testbed.echo", &[json!(1), json!(2), json!(3), json!(4), json!(5)]).await;
    let failed = bench.finished_ones("second.fail", &[Value::Null, Value::Null]).await;
    let waiting = bench.api.start("second.pause_once", &json!({})).await;
    bench.api.paused(&waiting, "only").await;
    let all: Vec<String> = [std::slice::from_ref(&waiting), &failed, &echoes].concat();

    for limit in [1, 3, 4, 8] {
        assert_eq!(column(&bench.paged("/v1/executions?", limit).await, "id"), all.iter().collect::<Vec<_>>());
    }
    for (filter, expected) in [
        ("status=succeeded", echoes.clone()),
        ("status=failed", failed.clone()),
        ("status=waiting", vec![waiting.clone()]),
        ("status=cancelled", vec![]),
        ("agent=second", [std::slice::from_ref(&waiting), &failed].concat()),
        ("agent=second&status=failed", failed.clone()),
        ("agent=nobody", vec![]),
    ] {
        let items = bench.paged(&format!("/v1/executions?{filter}&"), 2).await;
        assert_eq!(column(&items, "id"), expected.iter().collect::<Vec<_>>(), "{filter}");
    }
    let listed = bench.api.get("/v1/executions?status=succeeded").await.expect(200)["items"][0].clone();
    let mut shown = bench.api.execution(&echoes[0]).await;
    shown.as_object_mut().unwrap().remove("input");
    shown["result"] = Value::Null;
    assert_eq!(listed, shown, "without what is large");
    let fault = bench.api.get("/v1/executions?status=failed").await.expect(200)["items"][0]["error"]["code"].clone();
    assert_eq!(fault, "agent_error");
}

#[tokio::test]
async fn a_page_goes_on_where_the_one_before_ended_whatever_was_started_meanwhile() {
    let bench = Bench::new().await;
    let ids = bench.finished_ones("testbed.echo", &[json!(1), json!(2), json!(3)]).await;
    let first = bench.api.get("/v1/executions?limit=2").await.expect(200);
    bench.finished_ones("testbed.echo", &[json!(4), json!(5)]).await;
    let next = first["next"].as_str().unwrap();
    let second = bench.api.get(&format!("/v1/executions?limit=2&after={next}")).await.expect(200);
    assert_eq!((&second["items"][0]["id"], &second["next"]), (&json!(ids[2]), &Value::Null));
}

#[tokio::test]
async fn a_journal_and_a_log_are_listed_in_their_order() {
    let bench = Bench::new().await;
    let id = bench.finished_ones("testbed.many_ai", &[json!({"n": 7})]).await.remove(0);
    for limit in [1, 3, 7] {
        let journal = bench.paged(&format!("/v1/executions/{id}/journal?"), limit).await;
        assert_eq!(column(&journal, "seq"), (0..7).map(|n| json!(n)).collect::<Vec<_>>().iter().collect::<Vec<_>>());
        for (n, entry) in journal.iter().enumerate() {
            assert_eq!(entry["ask"]["messages"][0]["content"], format!("tick {n}"), "{entry}");
            assert_eq!(entry["answer"]["ai"]["Ok"]["text"], format!("echo: tick {n}"), "{entry}");
        }
    }
    let rest = bench.api.get(&format!("/v1/executions/{id}/journal?after=4")).await.expect(200);
    assert_eq!(column(rest["items"].as_array().unwrap(), "seq"), [&json!(5), &json!(6)]);

    let id = bench.finished_ones("testbed.log", &[json!({"lines": 3})]).await.remove(0);
    for limit in [1, 5, 12] {
        let log = bench.paged(&format!("/v1/executions/{id}/logs?"), limit).await;
        assert_eq!(log.len(), 12);
    }
    let quiet = bench.finished_ones("testbed.echo", &[Value::Null]).await.remove(0);
    let page = async |list| bench.api.get(&format!("/v1/executions/{quiet}/{list}")).await.expect(200);
    assert_eq!(page("logs").await, json!({"items": [], "next": null}));
    let journal = page("journal").await;
    assert_eq!((&journal["items"], &journal["next"]), (&json!([]), &Value::Null));
    // It stands beside the journal, and nowhere else.
    let seed = journal["seed"].as_str().unwrap();
    assert!(seed.len() == 64 && seed.bytes().all(|byte| byte.is_ascii_hexdigit()), "{seed}");
    assert!(!bench.api.execution(&quiet).await.to_string().contains(seed));
}

#[tokio::test]
async fn pauses_are_listed_oldest_first_by_status_and_execution() {
    let bench = Bench::new().await;
    let mut pauses = vec![];
    for n in 0..5 {
        let id = bench.api.start("testbed.pause_once", &json!({"id": format!("p{n}.a~b")})).await;
        pauses.push(bench.api.paused(&id, &format!("p{n}.a~b")).await);
    }
    bench.api.decide(&pauses[1], &json!({"decision": "approved"})).await.expect(200);
    bench.api.decide(&pauses[3].replace(":p3.a~b", ":early"), &json!({"decision": "approved"})).await.expect(200);
    for limit in [1, 2, 4] {
        let open = bench.paged("/v1/pauses?status=open&", limit).await;
        assert_eq!(column(&open, "id"), [&json!(pauses[0]), &json!(pauses[2]), &json!(pauses[3]), &json!(pauses[4])]);
    }
    assert_eq!(bench.paged("/v1/pauses?", 2).await.len(), 6, "all of them, the early one, too");
    for (filter, expected) in [("decided", &pauses[1]), ("early", &pauses[3].replace(":p3.a~b", ":early"))] {
        let items = bench.paged(&format!("/v1/pauses?status={filter}&"), 2).await;
        assert_eq!(column(&items, "id"), [&json!(expected)]);
        assert_eq!(bench.api.get(&format!("/v1/pauses/{expected}")).await.expect(200), items[0]);
    }
    for none in ["expired", "cancelled"] {
        assert_eq!(bench.paged(&format!("/v1/pauses?status={none}&"), 2).await, [] as [Value; 0]);
    }
    let execution = pauses[4].split(':').next().unwrap();
    let items = bench.paged(&format!("/v1/pauses?execution={execution}&"), 1).await;
    assert_eq!(column(&items, "id"), [&json!(pauses[4])]);
}

#[tokio::test]
async fn agents_are_listed_by_name_and_versions_newest_first() {
    let bench = Bench::new().await;
    for name in ["z", "a-b", "a_b", "ab", "m9"] {
        bench.api.deploy(name, guest("testbed")).await;
    }
    for limit in [1, 2, 6] {
        let agents = bench.paged("/v1/agents?", limit).await;
        let names: Vec<&str> = agents.iter().map(|agent| agent["agent"].as_str().unwrap()).collect();
        assert_eq!(names.len(), 6, "{names:?}");
        assert_eq!((names[5], names.contains(&"testbed")), ("z", true));
    }
    for n in 0..5 {
        bench.api.deploy("z", guest(if n % 2 == 0 { "altered" } else { "testbed" })).await;
    }
    for limit in [1, 4, 6] {
        let versions = bench.paged("/v1/agents/z/versions?", limit).await;
        let numbers: Vec<i64> = versions.iter().map(|version| version["version"].as_i64().unwrap()).collect();
        assert_eq!(numbers, [6, 5, 4, 3, 2, 1]);
    }
}
