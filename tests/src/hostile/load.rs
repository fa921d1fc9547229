//! Hostile uploads and executions, as many as are wanted: what a host is put under to see what it keeps of them.

use std::ops::Range;

use futures::StreamExt as _;
use futures::stream;
use reqwest::Method;
use serde_json::{Value, json};

use super::{agent, hostile, with_section};
use crate::api::send;
use crate::{Api, Host, PATIENCE};

/// As many are under way at once: no tenant may have more.
const AT_ONCE: usize = 2;

/// Guests that end soon, by a trap or a limit, and their inputs.
const GUESTS: [(&str, u8); 9] = [
    ("recurse", 0),
    ("big-prompt", 0),
    ("big-print", 0),
    ("many-strings", 0),
    ("big-result", 0),
    ("handles", 0),
    ("traps", 3),
    ("bad-pointers", 5),
    ("last-words", 0),
];

/// A tenant that uploads and runs what it should not.
pub struct Load {
    api: Api,
    /// Refused: where it is read, and where it describes itself.
    refused: [Vec<u8>; 3],
    good: Vec<u8>,
}

impl Load {
    pub async fn new(api: &Api) -> Self {
        for (guest, _) in GUESTS {
            api.deploy(guest, hostile(guest)).await;
        }
        let good = hostile("nothing");
        let run = r#"(func (export "run") (type $run) (call $null))"#;
        let trapping = format!(r#"{run} (func (export "describe") (result i32) unreachable)"#);
        let recursing = format!(
            "{run} (func $s (result i32) (i32.add (call $s) (i32.const 1))) (func $t (drop (call $s))) (start $t)"
        );
        let refused = [good[..good.len() / 2].to_vec(), agent(&trapping), agent(&recursing)];
        Self { api: api.clone(), refused, good }
    }

    /// One upload and one execution for each number, no two uploads alike.
    pub async fn run(&self, numbers: Range<usize>) {
        stream::iter(numbers).for_each_concurrent(AT_ONCE, async |number| self.one(number).await).await;
    }

    async fn one(&self, number: usize) {
        let (component, status) = match number % 4 {
            3 => (&self.good, 201),
            bad => (&self.refused[bad], 422),
        };
        let other = with_section(component, 0, format!("\u{6}number{number}").as_bytes());
        let path = format!("/v1/agents/load-{}", number % AT_ONCE);
        let reply = send(self.api.request(Method::PUT, &path).body(other)).await;
        assert_eq!(reply.status, status, "upload {number}: {}", reply.body);

        let (guest, input) = GUESTS[number % GUESTS.len()];
        let ended = self.api.run(&format!("{guest}.run"), &json!(input)).await;
        assert_eq!((&ended["status"], &ended["result"]), (&json!("failed"), &Value::Null), "{guest}: {ended}");
        assert_eq!(ended["error"]["blame"], "guest", "{guest}: {ended}");
    }
}

/// The memory of a host that has nothing left to do: the least that is seen in a while.
pub async fn settled(host: &Host) -> u64 {
    const LOOKS: u32 = 40;
    let mut least = host.memory();
    for _ in 0..LOOKS {
        tokio::time::sleep(PATIENCE / 60 / LOOKS).await;
        least = least.min(host.memory());
    }
    least
}
