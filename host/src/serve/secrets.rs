//! The master keys of a host, held against the secrets that its database keeps.

use crate::audit::Actor;
use crate::config::{Config, DataDir};
use crate::db::Db;
use crate::db::secrets::Encrypted;
use crate::master_key::{KeyId, MasterKeys, Purpose};
use crate::random;

/// How many secrets are read at once.
const PAGE: i64 = 500;

/// How many of those that cannot be decrypted are named.
const UNREADABLE_SHOWN: usize = 20;

/// Says by which keys this host encrypts and decrypts, and how many secrets it has no key for. Those that were altered
/// are found when they are used.
pub(super) async fn look(db: &Db, keys: &MasterKeys) -> anyhow::Result<()> {
    tracing::info!(master_keys = ?keys, "the first of these keys encrypts webhook secrets, all of them decrypt");
    for (head, count) in db.count_secrets().await? {
        let id = KeyId::of(&head);
        if id.is_none_or(|id| !keys.ids().any(|known| known == id)) {
            let master_key = id.map_or_else(|| "unknown".into(), |id| id.to_string());
            tracing::error!(
                master_key,
                count,
                "this host has no key for webhook secrets that are in force, and refuses what is signed with them; \
                 add the key to COUNTERSIGN_MASTER_KEY"
            );
        }
    }
    Ok(())
}

/// What became of the secrets in force.
#[derive(Debug)]
pub struct Rekeyed {
    /// The key that they are encrypted under now.
    pub master_key: KeyId,
    pub reencrypted: u64,
    /// They were encrypted under it before.
    pub unchanged: u64,
    /// They are as they were, because no key decrypts them.
    pub unreadable: u64,
    /// The first of those, and why.
    pub examples: Vec<String>,
}

/// Encrypts all secrets in force under the first key, directly in the database, while hosts run. To be repeated at will.
pub async fn rekey_secrets(config: Config) -> anyhow::Result<Rekeyed> {
    let data = DataDir::open(&config.data_dir)?;
    let keys = config.master_keys(&data)?;
    let (db, postgres) = super::database(&config, &data).await?;
    let rekeyed = rekey(&db, &keys).await;
    db.close().await;
    if let Some(postgres) = postgres {
        postgres.stop().await?;
    }
    rekeyed
}

async fn rekey(db: &Db, keys: &MasterKeys) -> anyhow::Result<Rekeyed> {
    let mut done =
        Rekeyed { master_key: keys.first(), reencrypted: 0, unchanged: 0, unreadable: 0, examples: Vec::new() };
    let (mut tenant, mut secret_id) = (String::new(), String::new());
    loop {
        let page = db.secrets_after(&tenant, &secret_id, PAGE).await?;
        for row in &page {
            rekey_one(db, keys, Purpose::WebhookSecret, row, &mut done).await?;
        }
        let Some(last) = page.into_iter().next_back() else { break };
        (tenant, secret_id) = (last.tenant_id, last.secret_id);
    }
    (tenant, secret_id) = (String::new(), String::new());
    loop {
        let page = db.endpoint_secrets_after(&tenant, &secret_id, PAGE).await?;
        for (row, is_address) in &page {
            let purpose = if *is_address { Purpose::EndpointAddress } else { Purpose::EndpointSecret };
            rekey_one(db, keys, purpose, row, &mut done).await?;
        }
        let Some((last, _)) = page.into_iter().next_back() else { return Ok(done) };
        (tenant, secret_id) = (last.tenant_id, last.secret_id);
    }
}

async fn rekey_one(
    db: &Db,
    keys: &MasterKeys,
    purpose: Purpose,
    row: &Encrypted,
    done: &mut Rekeyed,
) -> anyhow::Result<()> {
    match keys.unseal(purpose, &row.tenant_id, &row.secret_id, &row.encrypted) {
        Ok(_) if KeyId::of(&row.encrypted) == Some(keys.first()) => done.unchanged += 1,
        Ok(secret) => {
            let encrypted = keys.seal(purpose, &row.tenant_id, &row.secret_id, &secret, random::nonce());
            // Not counted: it was revoked meanwhile, or another did the same.
            done.reencrypted += u64::from(match purpose {
                Purpose::WebhookSecret => db.reencrypt_secret(row, &encrypted, &Actor::HOST).await?,
                _ => db.reencrypt_endpoint_secret(row, &encrypted, &Actor::HOST).await?,
            });
        }
        Err(why) => {
            done.unreadable += 1;
            if done.examples.len() < UNREADABLE_SHOWN {
                done.examples.push(format!("{} of tenant {}: {why}", row.secret_id, row.tenant_id));
            }
        }
    }
    Ok(())
}
