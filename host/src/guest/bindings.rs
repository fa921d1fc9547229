//! The contract in `wit/`, and what its functions do: they note the ask and wait. Never any I/O.

use wasmtime::component::{Accessor, HasData, Linker};

use super::Inside;
use super::asks::Pending;
use crate::journal::{self, Answer, Ask};

mod asynchronous {
    wasmtime::component::bindgen!({
        path: "../wit",
        world: "agent",
        imports: { default: trappable },
        exports: { "describe": async },
    });
}

mod blocking {
    wasmtime::component::bindgen!({
        path: "../wit",
        world: "agent-blocking",
        imports: { default: async | trappable },
        exports: { default: async },
        with: { "countersign:agent/types": super::asynchronous::countersign::agent::types },
    });
}

pub(super) use asynchronous::AgentPre;
pub(super) use asynchronous::countersign::agent::types;
pub(super) use blocking::AgentBlockingPre;

use asynchronous::countersign::agent::host;
use blocking::countersign::agent::host_blocking;
use types::{AiError, ApprovalRequest, CallError, Completion, PauseError, Prompt, Review, Role};

/// Links the imports of both worlds.
pub(super) fn add_to_linker(linker: &mut Linker<Inside>) -> wasmtime::Result<()> {
    types::add_to_linker::<_, HasInside>(linker, |inside| inside)?;
    host::add_to_linker::<_, HasInside>(linker, |inside| inside)?;
    host_blocking::add_to_linker::<_, HasInside>(linker, |inside| inside)?;
    Ok(())
}

struct HasInside;

impl HasData for HasInside {
    type Data<'a> = &'a mut Inside;
}

impl types::Host for Inside {}

impl host::Host for Inside {
    fn execution_id(&mut self) -> wasmtime::Result<String> {
        Ok(self.execution_id.clone())
    }
}

/// Notes an ask of an async guest, and waits for its answer.
async fn ask<T: Send>(accessor: &Accessor<T, HasInside>, ask: Ask) -> wasmtime::Result<Answer> {
    let pending = accessor.with(|mut access| access.get().asks.ask(ask))?;
    Ok(pending.await)
}

impl<T: Send> host::HostWithStore<T> for HasInside {
    async fn ai(accessor: &Accessor<T, Self>, prompt: Prompt) -> wasmtime::Result<Result<Completion, AiError>> {
        Ok(completion(ask(accessor, Ask::Ai(prompt.into())).await?))
    }

    async fn pause(
        accessor: &Accessor<T, Self>,
        request: ApprovalRequest,
    ) -> wasmtime::Result<Result<Review, PauseError>> {
        Ok(review(ask(accessor, Ask::Pause(Box::new(request.into()))).await?))
    }

    async fn wait_for_resume(
        accessor: &Accessor<T, Self>,
        approval_request_id: String,
        timeout_ms: Option<u64>,
    ) -> wasmtime::Result<Result<Review, PauseError>> {
        Ok(review(ask(accessor, Ask::WaitForResume { approval_request_id, timeout_ms }).await?))
    }

    async fn review_link(
        accessor: &Accessor<T, Self>,
        approval_request_id: String,
        reviewer: String,
    ) -> wasmtime::Result<Result<String, PauseError>> {
        Ok(link(ask(accessor, Ask::ReviewLink { approval_request_id, reviewer }).await?))
    }

    async fn call(
        accessor: &Accessor<T, Self>,
        target: String,
        input: String,
    ) -> wasmtime::Result<Result<String, CallError>> {
        Ok(called(ask(accessor, Ask::Call { target, input }).await?))
    }

    async fn sleep(accessor: &Accessor<T, Self>, duration_ms: u64) -> wasmtime::Result<()> {
        ask(accessor, Ask::Sleep { duration_ms }).await?;
        Ok(())
    }
}

impl host_blocking::Host for Inside {
    async fn execution_id(&mut self) -> wasmtime::Result<String> {
        Ok(self.execution_id.clone())
    }

    async fn ai(&mut self, prompt: Prompt) -> wasmtime::Result<Result<Completion, AiError>> {
        Ok(completion(self.asks.ask(Ask::Ai(prompt.into()))?.await))
    }

    async fn pause(&mut self, request: ApprovalRequest) -> wasmtime::Result<Result<Review, PauseError>> {
        Ok(review(self.asks.ask(Ask::Pause(Box::new(request.into())))?.await))
    }

    async fn wait_for_resume(
        &mut self,
        approval_request_id: String,
        timeout_ms: Option<u64>,
    ) -> wasmtime::Result<Result<Review, PauseError>> {
        Ok(review(self.asks.ask(Ask::WaitForResume { approval_request_id, timeout_ms })?.await))
    }

    async fn review_link(
        &mut self,
        approval_request_id: String,
        reviewer: String,
    ) -> wasmtime::Result<Result<String, PauseError>> {
        Ok(link(self.asks.ask(Ask::ReviewLink { approval_request_id, reviewer })?.await))
    }

    async fn call(&mut self, target: String, input: String) -> wasmtime::Result<Result<String, CallError>> {
        Ok(called(self.asks.ask(Ask::Call { target, input })?.await))
    }

    async fn sleep(&mut self, duration_ms: u64) -> wasmtime::Result<()> {
        self.asks.ask(Ask::Sleep { duration_ms })?.await;
        Ok(())
    }

    async fn submit(&mut self, ask: host_blocking::Ask) -> wasmtime::Result<u64> {
        let pending = self.asks.ask(ask.into())?;
        let op = pending.op();
        self.submitted.insert(op, pending);
        Ok(op)
    }

    async fn wait_any(&mut self, ops: Vec<u64>) -> wasmtime::Result<(u64, host_blocking::Answer)> {
        let mut waiting: Vec<Pending> = ops.iter().filter_map(|op| self.submitted.remove(op)).collect();
        if waiting.is_empty() || waiting.len() != ops.len() {
            return Err(wasmtime::Error::msg("wait-any: each op must be submitted, and not yet taken or abandoned"));
        }
        let (answer, index, _) = futures::future::select_all(waiting.iter_mut()).await;
        let op = waiting.swap_remove(index).op();
        self.submitted.extend(waiting.into_iter().map(|pending| (pending.op(), pending)));
        Ok((op, answer.into()))
    }

    async fn abandon(&mut self, op: u64) -> wasmtime::Result<()> {
        self.submitted.remove(&op);
        Ok(())
    }
}

/// An answer of another kind than the ask's is refused where it would be delivered, so it never gets here.
const FITS: &str = "an answer fits its ask";

fn completion(answer: Answer) -> Result<Completion, AiError> {
    let Answer::Ai(answer) = answer else { unreachable!("{FITS}") };
    answer.map(Into::into).map_err(Into::into)
}

fn review(answer: Answer) -> Result<Review, PauseError> {
    let Answer::Review(answer) = answer else { unreachable!("{FITS}") };
    answer.map(Into::into).map_err(Into::into)
}

fn link(answer: Answer) -> Result<String, PauseError> {
    let Answer::Link(answer) = answer else { unreachable!("{FITS}") };
    answer.map_err(Into::into)
}

fn called(answer: Answer) -> Result<String, CallError> {
    let Answer::Call(answer) = answer else { unreachable!("{FITS}") };
    answer.map_err(Into::into)
}

impl From<host_blocking::Ask> for Ask {
    fn from(ask: host_blocking::Ask) -> Self {
        match ask {
            host_blocking::Ask::Ai(prompt) => Self::Ai(prompt.into()),
            host_blocking::Ask::Pause(request) => Self::Pause(Box::new(request.into())),
            host_blocking::Ask::WaitForResume(host_blocking::Reconnection { approval_request_id, timeout_ms }) => {
                Self::WaitForResume { approval_request_id, timeout_ms }
            }
            host_blocking::Ask::ReviewLink(host_blocking::LinkRequest { approval_request_id, reviewer }) => {
                Self::ReviewLink { approval_request_id, reviewer }
            }
            host_blocking::Ask::Call(host_blocking::Invocation { target, input }) => Self::Call { target, input },
            host_blocking::Ask::Sleep(duration_ms) => Self::Sleep { duration_ms },
        }
    }
}

impl From<Answer> for host_blocking::Answer {
    fn from(answer: Answer) -> Self {
        match answer {
            Answer::Ai(_) => Self::Ai(completion(answer)),
            Answer::Review(_) => Self::Review(review(answer)),
            Answer::Link(_) => Self::Link(link(answer)),
            Answer::Call(_) => Self::Call(called(answer)),
            Answer::Slept => Self::Sleep,
        }
    }
}

impl From<Prompt> for journal::Prompt {
    fn from(prompt: Prompt) -> Self {
        let role = |role| match role {
            Role::System => journal::Role::System,
            Role::User => journal::Role::User,
            Role::Assistant => journal::Role::Assistant,
        };
        let message = |message: types::Message| journal::Message { role: role(message.role), content: message.content };
        Self {
            messages: prompt.messages.into_iter().map(message).collect(),
            model: prompt.model,
            schema: prompt.schema,
            // What has no JSON form would be gone on replay.
            temperature: prompt.temperature.filter(|temperature| temperature.is_finite()),
            max_tokens: prompt.max_tokens,
        }
    }
}

impl From<ApprovalRequest> for journal::ApprovalRequest {
    fn from(request: ApprovalRequest) -> Self {
        let stage = |stage: types::ApprovalStage| {
            let types::ApprovalStage { reviewers, required } = stage;
            journal::ApprovalStage { reviewers, required }
        };
        let escalation = |escalation: types::Escalation| {
            let types::Escalation { after_ms, reviewers, notify } = escalation;
            journal::Escalation { after_ms, reviewers, notify }
        };
        Self {
            approval_request_id: request.approval_request_id,
            approval_request_url: request.approval_request_url,
            expires_in_ms: request.expires_in_ms,
            default_decision: request.default_decision,
            title: request.title,
            payload: request.payload,
            editable: request.editable,
            response_schema: request.response_schema,
            choices: request.choices,
            feedback_required: request.feedback_required,
            stages: request.stages.into_iter().map(stage).collect(),
            rejection: match request.rejection {
                types::RejectionRule::First => journal::RejectionRule::First,
                types::RejectionRule::Majority => journal::RejectionRule::Majority,
            },
            forbid_self_approval: request.forbid_self_approval,
            reminders_ms: request.reminders_ms,
            escalations: request.escalations.into_iter().map(escalation).collect(),
            notify: request.notify,
        }
    }
}

impl From<journal::Completion> for Completion {
    fn from(completion: journal::Completion) -> Self {
        Self {
            text: completion.text,
            model: completion.model,
            usage: types::Usage { input_tokens: completion.input_tokens, output_tokens: completion.output_tokens },
        }
    }
}

impl From<journal::AiError> for AiError {
    fn from(error: journal::AiError) -> Self {
        match error {
            journal::AiError::Refused(why) => Self::Refused(why),
            journal::AiError::RateLimited => Self::RateLimited,
            journal::AiError::BudgetExhausted => Self::BudgetExhausted,
            journal::AiError::InvalidOutput(why) => Self::InvalidOutput(why),
            journal::AiError::Unavailable(why) => Self::Unavailable(why),
        }
    }
}

impl From<journal::Review> for Review {
    fn from(review: journal::Review) -> Self {
        Self {
            decision: review.decision,
            feedback: review.feedback,
            response: review.response,
            reviewer: review.reviewer,
            decided_at_ms: review.decided_at_ms,
            votes: review.votes.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<journal::Vote> for types::Vote {
    fn from(vote: journal::Vote) -> Self {
        Self {
            reviewer: vote.reviewer,
            claimed: vote.claimed,
            stage: vote.stage,
            decision: vote.decision,
            feedback: vote.feedback,
            response: vote.response,
            voted_at_ms: vote.voted_at_ms,
        }
    }
}

impl From<journal::PauseError> for PauseError {
    fn from(error: journal::PauseError) -> Self {
        match error {
            journal::PauseError::InvalidRequest(why) => Self::InvalidRequest(why),
        }
    }
}

impl From<journal::CallError> for CallError {
    fn from(error: journal::CallError) -> Self {
        match error {
            journal::CallError::NotFound(what) => Self::NotFound(what),
            journal::CallError::Denied(why) => Self::Denied(why),
            journal::CallError::Failed(error) => Self::Failed(error),
            journal::CallError::Cancelled => Self::Cancelled,
            journal::CallError::Unavailable(why) => Self::Unavailable(why),
        }
    }
}
