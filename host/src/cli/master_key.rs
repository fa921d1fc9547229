//! `countersign secrets master-key` and `countersign secrets rekey`: for who runs the hosts, not through the API.

use serde_json::json;

use super::failure::Failure;
use super::output::Output;
use crate::config::Config;
use crate::master_key::{MasterKeys, expose};
use crate::random;

/// Makes a key and prints it. It is kept nowhere.
pub(crate) fn make(out: Output) -> Result<(), Failure> {
    let text = expose(&random::bytes32());
    let keys: MasterKeys = text.parse().map_err(|why| Failure::Failed(format!("{why}")))?;
    if out.json {
        return Ok(out.document(&json!({"master_key": *text, "id": keys.first().to_string()}).to_string())?);
    }
    out.line(&text)?;
    out.note(&format!(
        "Its id is {}. Give it to every host on the database, as COUNTERSIGN_MASTER_KEY, and keep it: without it, \
         webhook secrets are lost.",
        keys.first()
    ));
    Ok(())
}

/// Encrypts all secrets under the first key.
pub(crate) async fn rekey(config: Config, out: Output) -> Result<(), Failure> {
    let done = crate::rekey_secrets(config).await.map_err(|error| Failure::Failed(format!("{error:#}")))?;
    if out.json {
        let document = json!({
            "master_key": done.master_key.to_string(),
            "reencrypted": done.reencrypted,
            "unchanged": done.unchanged,
            "unreadable": done.unreadable,
        });
        out.document(&document.to_string())?;
    } else {
        out.line(&format!(
            "{} encrypted anew under the master key {}, {} already were",
            done.reencrypted, done.master_key, done.unchanged
        ))?;
    }
    if done.unreadable == 0 {
        return Ok(());
    }
    let examples = super::text::clean(&done.examples.join("; "));
    Err(Failure::Failed(format!("{} cannot be decrypted and stay as they are: {examples}", done.unreadable)))
}
