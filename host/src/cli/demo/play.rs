//! What happens in the demo, act by act.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use indicatif::ProgressBar;
use reqwest::Method;
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use super::host::Host;
use super::model::Model;
use super::story::{Figures, Story, Who, millis};
use crate::cli::api::{Decided, Execution, Status, Version};
use crate::cli::client::{Client, Reply, segment, with_query};
use crate::cli::failure::Failure;
use crate::cli::text::{bytes, count};
use crate::cli::{deploy, sign};

const BRIEF: &str = "Announce Fernweh, our app for night trains: one price, no account.";
const FEEDBACK: &str = "Cut the first sentence, and name the launch date: 3 March.";

/// What only the feedback says, so that its way can be followed.
const LAUNCH_DATE: &str = "3 March";

/// Decodes to a key that is not the tenant's.
const FORGERS_SECRET: &str = "whsec_bm90IHRoZSBzZWNyZXQgb2YgdGhpcyB0ZW5hbnQh";

/// The name of the demo's webhook secret, to find those of earlier demos by.
const SECRET_NAME: &str = "demo";

/// How often to look whether something has come about; resumes are measured with it.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// How long anything in the demo may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// The components of the demo's agents.
pub(super) struct Agents {
    pipeline: Vec<u8>,
    publisher: Vec<u8>,
}

impl Agents {
    /// Reads them from the folder that they were built into.
    pub(super) fn read(dir: &Path, pipeline: Option<&Path>) -> Result<Self, Failure> {
        let read = |file: &Path| {
            std::fs::read(file).map_err(|error| {
                Failure::Usage(format!(
                    "cannot read {}: {error}. `make demo` builds the agents; --agents says where they are",
                    file.display()
                ))
            })
        };
        let pipeline = pipeline.map_or_else(|| dir.join("publish_with_review.wasm"), Path::to_owned);
        Ok(Self { pipeline: read(&pipeline)?, publisher: read(&dir.join("publisher.wasm"))? })
    }
}

/// What all acts need.
pub(super) struct Stage {
    client: Client,
    /// The secret that the demo's decisions are signed with.
    pub(super) secret: String,
    execution: String,
}

/// A decision as it is sent, so that it can be sent again.
struct Delivery {
    id: String,
    body: String,
}

/// Plays the demo to its end.
pub(super) async fn play(agents: &Agents, host: &mut Host, model: &Model, story: &Story) -> anyhow::Result<Stage> {
    story.open()?;
    let stage = prepare(agents, host, model, story).await?;
    let first_pause = stage.next_pause(None).await?;
    let prompts = model.prompts();
    ensure!(prompts.len() == 1, "the model was asked {} instead of once", count(prompts.len(), "time"));
    story.tell(Who::Model, "is asked for a draft, and writes:")?;
    story.quote(&stage.last_answer().await?)?;
    stage.tell_pause(story, &first_pause, None).await?;

    crash_and_restart(host, story).await?;
    let forged = stage.forge(&first_pause).await?;
    story.tell(Who::Stranger, &format!("sends a decision with a forged signature: HTTP {forged}"))?;
    story.tell(Who::Editor, "approves the draft, by a signed webhook, with feedback:")?;
    story.quote(FEEDBACK)?;
    let sent = Instant::now();
    let delivery = stage.decide(&first_pause, Some(FEEDBACK), "Edith, editor").await?;
    let second_pause = stage.next_pause(Some(&first_pause)).await?;
    let first_resume = sent.elapsed();
    let prompts = model.prompts();
    let second_prompt = prompts.get(1).context("the model was not asked for a revision")?;
    ensure!(second_prompt.contains(FEEDBACK), "the feedback is not in the second prompt: {second_prompt}");
    story.tell(Who::Agent, "goes on exactly where it stopped, and asks the model:")?;
    story.quote(second_prompt)?;
    story.tell(Who::Model, "revises:")?;
    story.quote(&stage.last_answer().await?)?;
    stage.tell_pause(story, &second_pause, Some(first_resume)).await?;
    let repeated = stage.deliver(&delivery, &stage.secret).await?.parse::<Decided>()?.outcome;
    story.tell(Who::Editor, &format!("the webhook is delivered a second time: {repeated}"))?;

    crash_and_restart(host, story).await?;
    story.tell(Who::Publisher, "signs off, by a signed webhook")?;
    let sent = Instant::now();
    stage.decide(&second_pause, None, "Paul, publisher").await?;
    let finished = stage.finish().await?;
    let second_resume = sent.elapsed();
    story.tell(Who::Agent, &format!("publishes and ends; {} after the decision was sent", millis(second_resume)))?;
    let published = stage.published().await?;
    ensure!(published.contains(LAUNCH_DATE), "what was published does not take up the feedback: {published}");
    story.quote(&published)?;
    story.tell(Who::Agent, "its result:")?;
    let result = finished.result.as_deref().map_or("null", RawValue::get);
    story.quote(result)?;

    let figures = Figures {
        asked: model.prompts().len(),
        kills: 2,
        resumes: [first_resume, second_resume],
        forged,
        repeated,
        attempts: finished.attempts,
        status: format!("{}, with the result {result}", finished.status.word()),
    };
    story.sum_up(&figures)?;
    judge(&figures)?;
    Ok(stage)
}

/// The demo has to show what it claims, or fail.
fn judge(figures: &Figures) -> anyhow::Result<()> {
    ensure!(figures.asked == 2, "the model was asked {} times, but should have been asked twice", figures.asked);
    ensure!(figures.forged == 401, "a forged signature was answered with HTTP {}", figures.forged);
    ensure!(figures.repeated == "duplicate", "a repeated delivery was `{}`", figures.repeated);
    Ok(())
}

/// Starts the host, deploys the agents, starts the execution.
async fn prepare(agents: &Agents, host: &mut Host, model: &Model, story: &Story) -> anyhow::Result<Stage> {
    let first_time = !host.data_dir().join("api-key").exists();
    let aside = if first_time { "; this first time it makes a private Postgres" } else { "" };
    story.tell(Who::Host, &format!("starts{aside}"))?;
    let took = host.start().await?;
    story.tell(Who::Host, &format!("is ready on {} after {:.1} s", host.url(), took.as_secs_f64()))?;
    let client = host.client()?;
    clean_up(&client).await?;
    #[derive(Deserialize)]
    struct Secret {
        secret: String,
    }
    let Secret { secret } = client.post("/v1/secrets", &json!({"name": SECRET_NAME})).await?.parse()?;
    for (agent, component) in [("content-pipeline", &agents.pipeline), ("publisher", &agents.publisher)] {
        let reply = deploy::upload(&client, agent, component.clone(), &ProgressBar::hidden()).await?;
        let version: Version = reply.parse()?;
        story.tell(
            Who::Developer,
            &format!("deploys {agent}, version {} ({})", version.version, bytes(component.len() as u64)),
        )?;
    }
    // What earlier demos left undone may have asked meanwhile.
    model.forget();
    let start = json!({"target": "content-pipeline.publish_with_review", "input": {"brief": BRIEF}});
    let execution: Execution = client.post("/v1/executions", &start).await?.parse()?;
    story.tell(Who::Developer, "runs content-pipeline.publish_with_review with the brief:")?;
    story.quote(BRIEF)?;
    Ok(Stage { client, secret, execution: execution.id })
}

/// Removes what earlier demos left in this data directory.
async fn clean_up(client: &Client) -> anyhow::Result<()> {
    #[derive(Deserialize)]
    struct Secret {
        id: String,
        name: String,
    }
    let (secrets, _) = client.list("/v1/secrets").await?.items::<Secret>()?;
    for secret in secrets.iter().filter(|secret| secret.name == SECRET_NAME) {
        client.delete(&format!("/v1/secrets/{}", segment(&secret.id))).await?;
    }
    for status in [Status::Pending, Status::Running, Status::Waiting] {
        let path = with_query("/v1/executions", &[("status", Some(status.word()))]);
        let (left, _) = client.list(&path).await?.items::<Execution>()?;
        for execution in left {
            let path = format!("/v1/executions/{}/cancel", segment(&execution.id));
            match client.send(client.request(Method::POST, &path)).await {
                // It finished by itself, or with its parent.
                Err(Failure::Refused(refusal)) if refusal.status == 409 => (),
                other => drop(other?),
            }
        }
    }
    Ok(())
}

async fn crash_and_restart(host: &mut Host, story: &Story) -> anyhow::Result<()> {
    let pid = host.pid().context("the host has no process")?;
    let signal = host.kill().await?;
    story.gap()?;
    story.tell(Who::Kill, &format!("the host, process {pid}, is dead of signal {signal}"))?;
    let took = host.start().await?;
    let pid = host.pid().context("the host has no process")?;
    story.tell(Who::Host, &format!("starts again as process {pid}, and is ready after {:.1} s", took.as_secs_f64()))?;
    Ok(())
}

impl Stage {
    async fn look(&self) -> anyhow::Result<Execution> {
        Ok(self.client.get(&format!("/v1/executions/{}", segment(&self.execution))).await?.parse()?)
    }

    /// Waits until the execution is suspended at a pause other than `last`, and returns that one's id.
    async fn next_pause(&self, last: Option<&str>) -> anyhow::Result<String> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            let execution = self.look().await?;
            if execution.status.is_finished() {
                bail!("the agent has ended too early: {}", ending(&execution));
            }
            let waiting = execution.waiting_for.filter(|_| execution.status == Status::Waiting).unwrap_or_default();
            if let Some(pause) = waiting.pauses.into_iter().find(|pause| Some(pause.as_str()) != last) {
                return Ok(pause);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        bail!("the agent has not paused within {} s", PATIENCE.as_secs())
    }

    /// Waits for the end, which must be a good one.
    async fn finish(&self) -> anyhow::Result<Execution> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            let execution = self.look().await?;
            if execution.status == Status::Succeeded {
                return Ok(execution);
            }
            if execution.status.is_finished() {
                bail!("the agent has not succeeded: {}", ending(&execution));
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        bail!("the agent has not ended within {} s", PATIENCE.as_secs())
    }

    async fn tell_pause(&self, story: &Story, pause: &str, after: Option<Duration>) -> anyhow::Result<()> {
        let name = pause.rsplit(':').next().unwrap_or(pause);
        let after = after.map(|time| format!(", {} after the decision was sent", millis(time))).unwrap_or_default();
        let entries = count(usize::try_from(self.look().await?.entries)?, "answer");
        story.tell(Who::Agent, &format!("pauses for {name}{after}"))?;
        story.tell(Who::Host, &format!("keeps {entries} and the pause in Postgres; the agent is not in memory now"))
    }

    /// The text of the newest answer of the model, as the journal has it.
    async fn last_answer(&self) -> anyhow::Result<String> {
        let path = format!("/v1/executions/{}/journal", segment(&self.execution));
        let (entries, _) = self.client.list(&path).await?.items::<crate::cli::api::Entry>()?;
        let answer = entries.iter().rev().find_map(|entry| crate::cli::show::find(&entry.answer, "text"));
        Ok(answer.context("the journal holds no answer of the model")?.to_owned())
    }

    /// Sends a decision and takes nothing but `accepted`.
    async fn decide(&self, pause: &str, feedback: Option<&str>, reviewer: &str) -> anyhow::Result<Delivery> {
        let mut body = json!({"pause_id": pause, "decision": "approved", "reviewer": reviewer});
        if let Some(feedback) = feedback {
            body["feedback"] = json!(feedback);
        }
        let delivery = Delivery { id: sign::new_id(), body: body.to_string() };
        let decided: Decided = self.deliver(&delivery, &self.secret).await?.parse()?;
        ensure!(decided.outcome == "accepted", "the decision was not accepted but `{}`", decided.outcome);
        Ok(delivery)
    }

    /// Sends a decision with a wrong signature; tells the status of the answer.
    async fn forge(&self, pause: &str) -> anyhow::Result<u16> {
        let body = json!({"pause_id": pause, "decision": "rejected"}).to_string();
        match self.deliver(&Delivery { id: sign::new_id(), body }, FORGERS_SECRET).await {
            Ok(reply) => Ok(reply.status),
            Err(Failure::Refused(refusal)) => Ok(refusal.status),
            Err(failure) => Err(failure.into()),
        }
    }

    async fn deliver(&self, delivery: &Delivery, secret: &str) -> Result<Reply, Failure> {
        let timestamp = sign::now_seconds();
        // A webhook proves itself by its signature, not by a key.
        let mut request = self.client.without_key().request(Method::POST, "/v1/webhooks/default");
        for (name, value) in sign::headers(secret, &delivery.id, timestamp, delivery.body.as_bytes())? {
            request = request.header(name, value);
        }
        self.client.send(request.header("content-type", "application/json").body(delivery.body.clone())).await
    }

    /// What the agent that was called got to publish.
    async fn published(&self) -> anyhow::Result<String> {
        let path = with_query("/v1/executions", &[("agent", Some("publisher"))]);
        // Newest first, so that the first page is enough.
        let (calls, _) = self.client.get(&path).await?.items::<Execution>()?;
        let call = calls.into_iter().find(|call| call.parent.as_deref() == Some(self.execution.as_str()));
        let call = call.context("no execution of publisher was called")?;
        #[derive(Deserialize)]
        struct Input {
            content: String,
        }
        let call: Execution = self.client.get(&format!("/v1/executions/{}", segment(&call.id))).await?.parse()?;
        let input = call.input.context("the execution of publisher has no input")?;
        Ok(serde_json::from_str::<Input>(input.get())?.content)
    }
}

fn ending(execution: &Execution) -> String {
    let why = match (&execution.error, &execution.result) {
        (Some(error), _) => format!("{}: {}", error.code, error.message),
        (None, Some(result)) => result.get().to_owned(),
        (None, None) => String::new(),
    };
    format!("{} {why}", execution.status.word())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(asked: usize, forged: u16, repeated: &str) -> Figures {
        Figures {
            asked,
            kills: 2,
            resumes: [Duration::ZERO; 2],
            forged,
            repeated: repeated.into(),
            attempts: 3,
            status: "succeeded".into(),
        }
    }

    #[test]
    fn a_demo_that_shows_something_else_than_it_claims_has_failed() {
        assert!(judge(&figures(2, 401, "duplicate")).is_ok());
        assert!(judge(&figures(3, 401, "duplicate")).is_err());
        assert!(judge(&figures(2, 200, "duplicate")).is_err());
        assert!(judge(&figures(2, 401, "accepted")).is_err());
    }
}
