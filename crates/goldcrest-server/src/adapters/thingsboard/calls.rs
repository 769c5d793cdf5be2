//! RPC: people call boards, and boards call the server. A call to a board waits for its answer, never longer than who asked wants to wait.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::{Device, MAX_PAYLOAD};
use crate::App;
use crate::failure::Failure;
use crate::mqtt::MAX_INFLIGHT;

/// Calls of a board that wait for an answer.
const MAX_CALLS: usize = 20;

/// What a board is to do.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) method: String,
    pub(crate) params: Value,
    pub(crate) timeout: Duration,
    /// No answer is wanted.
    pub(crate) is_one_way: bool,
}

/// A call under way.
#[derive(Debug)]
pub(super) struct Calling {
    id: u32,
    method: String,
    params: Value,
    is_one_way: bool,
    is_sent: bool,
    answer: oneshot::Sender<Value>,
}

impl Calling {
    pub(super) fn is_wanted(&self) -> bool {
        !self.answer.is_closed()
    }

    fn over_mqtt(&self) -> Value {
        json!({"method": self.method, "params": self.params})
    }

    fn over_http(&self) -> Value {
        json!({"id": self.id, "method": self.method, "params": self.params})
    }
}

/// Calls a board and waits for what it answers; for a call without an answer, until the board was told.
///
/// # Errors
/// `TimedOut` when it did not in time, `Conflict` when too many calls wait, `TooLarge` when it fits no message.
pub(crate) async fn call(app: &Arc<App>, device: Device, call: Call) -> Result<Value, Failure> {
    if call.method.len() + call.params.to_string().len() > MAX_PAYLOAD {
        return Err(Failure::TooLarge(format!("more than {MAX_PAYLOAD} bytes in one message to a board")));
    }
    let timeout = call.timeout;
    let (answer, receiver) = oneshot::channel();
    let id = app.boards.with(device.id, |board| {
        board.calls.retain(Calling::is_wanted);
        if board.calls.len() >= MAX_CALLS {
            return None;
        }
        board.last_call = board.last_call.wrapping_add(1);
        let (id, Call { method, params, is_one_way, .. }) = (board.last_call, call);
        board.calls.push(Calling { id, method, params, is_one_way, is_sent: false, answer });
        Some(id)
    });
    let Some(id) = id else {
        let text = format!("{MAX_CALLS} calls wait for this device already");
        return Err(Failure::Conflict(text, "wait until they have ended"));
    };
    send_waiting(app, device);
    let answered = tokio::time::timeout(timeout, receiver).await;
    app.boards.with(device.id, |board| board.calls.retain(|calling| calling.id != id));
    match answered {
        Ok(Ok(answer)) => Ok(answer),
        _ => Err(Failure::TimedOut("the device did not answer in time: is it connected, and does it listen?".into())),
    }
}

/// Sends the calls that could not be sent before, unless a download is under way.
pub(super) fn send_waiting(app: &App, device: Device) {
    loop {
        let next = app.boards.with(device.id, |board| {
            if board.is_downloading() {
                return None;
            }
            // Not those that nobody waits for any more.
            board.calls.retain(Calling::is_wanted);
            let calling = board.calls.iter_mut().find(|calling| !calling.is_sent)?;
            calling.is_sent = true;
            let polls = std::mem::take(&mut board.call_polls);
            Some((calling.id, calling.over_mqtt(), calling.over_http(), polls))
        });
        let Some((id, over_mqtt, over_http, polls)) = next else { return };
        let (mut is_sent, mut left) = (false, Vec::new());
        for poll in polls {
            if is_sent {
                left.push(poll);
            } else {
                is_sent = poll.send(over_http.clone()).is_ok();
            }
        }
        if !is_sent {
            let topic = format!("{}{id}", super::mqtt::CALL);
            is_sent = app.mqtt.tell_board(device.project_id, device.id, &topic, over_mqtt.to_string().into_bytes());
        }
        app.boards.with(device.id, |board| {
            board.call_polls.append(&mut left);
            settle(board, id, is_sent);
        });
        if !is_sent {
            return;
        }
    }
}

/// A call that was sent and wants no answer is over; one that could not be sent waits for the board.
fn settle(board: &mut super::Board, id: u32, is_sent: bool) {
    let Some(at) = board.calls.iter().position(|calling| calling.id == id) else { return };
    if is_sent && board.calls[at].is_one_way {
        // Nobody waits any more: then nobody has to know.
        let _ = board.calls.remove(at).answer.send(Value::Null);
    } else {
        board.calls[at].is_sent = is_sent;
    }
}

/// What a board answers to a call.
pub(super) fn answered(app: &App, device_id: i64, id: u32, answer: Value) {
    let calling = app.boards.with(device_id, |board| {
        let at = board.calls.iter().position(|calling| calling.id == id)?;
        Some(board.calls.remove(at))
    });
    if let Some(calling) = calling {
        // As above.
        let _ = calling.answer.send(answer);
    }
}

/// A call for a board that asks over HTTP: one that waits, or the next within this time.
pub(super) async fn next(app: &Arc<App>, device: Device, patience: Duration) -> Option<Value> {
    let receiver = app.boards.with(device.id, |board| super::wait_in(&mut board.call_polls));
    send_waiting(app, device);
    tokio::time::timeout(patience, receiver).await.ok()?.ok()
}

/// What a board asks of the server.
#[derive(Debug, Deserialize)]
pub(super) struct Request {
    method: String,
}

/// Answers a board's own call. ThingsBoard leaves all but the first to the rule chains of its users; there are none here.
///
/// # Errors
/// What is wrong with the call.
pub(super) fn answer(app: &App, payload: &[u8]) -> Result<Value, String> {
    let request: Request = serde_json::from_slice(payload).map_err(|error| format!("not a call: {error}"))?;
    Ok(match request.method.as_str() {
        // Nothing is counted, so no rate is limited.
        "getSessionLimits" => {
            json!({"maxPayloadSize": MAX_PAYLOAD, "maxInflightMessages": MAX_INFLIGHT, "rateLimits": {}})
        }
        "getCurrentTime" => json!({"time": app.clock.now_ms()}),
        _ => json!({"error": "unknown method"}),
    })
}
