//! Pages of large items end early.

use serde_json::{Value, json};

use super::Bench;

/// What a page may have at the most: 8 MiB, one item more, and what is around them.
const PAGE_BYTES: usize = 11 << 20;

/// Reads a list page by page; how many items each page has.
async fn page_sizes(bench: &Bench, path: &str) -> (Vec<usize>, Vec<Value>) {
    let (mut sizes, mut items, mut after) = (vec![], vec![], String::new());
    loop {
        let reply = bench.api.get(&format!("{path}limit=100{after}")).await;
        assert!(reply.bytes.len() < PAGE_BYTES, "{path}: a page of {} bytes", reply.bytes.len());
        let page = reply.expect(200);
        let of_page = page["items"].as_array().unwrap();
        sizes.push(of_page.len());
        items.extend(of_page.iter().cloned());
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => return (sizes, items),
        }
    }
}

#[tokio::test]
async fn a_page_ends_when_it_is_large_and_no_item_is_left_out() {
    let bench = Bench::new().await;
    let large = "x".repeat(1_000_000);
    let mut pauses = vec![];
    for _ in 0..10 {
        let id = bench.start("pause_once", &json!({"payload": large})).await;
        pauses.push(json!(bench.api.paused(&id, "only").await));
    }
    let (sizes, items) = page_sizes(&bench, "/v1/pauses?").await;
    assert_eq!(sizes, [9, 1]);
    assert_eq!(items.iter().map(|pause| pause["id"].clone()).collect::<Vec<_>>(), pauses);

    let id = bench.start("rounds", &json!({"n": 10})).await;
    for round in 1..=10 {
        let name = if round == 1 { "round".into() } else { format!("round#{round}") };
        let pause = bench.api.paused(&id, &name).await.replace('#', "%23");
        bench.api.decide(&pause, &json!({"decision": "approved", "response": large})).await.expect(200);
    }
    bench.api.finished(&id).await;
    let (sizes, entries) = page_sizes(&bench, &format!("/v1/executions/{id}/journal?")).await;
    assert_eq!(sizes, [9, 1]);
    assert_eq!(
        entries.iter().map(|entry| entry["seq"].as_u64().unwrap()).collect::<Vec<_>>(),
        (0..10).collect::<Vec<_>>()
    );

    let (sizes, _) = page_sizes(&bench, "/v1/executions?").await;
    assert_eq!(sizes, [11], "small items are on one page");
}
