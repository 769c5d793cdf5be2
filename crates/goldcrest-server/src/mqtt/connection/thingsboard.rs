//! What boards of ThingsBoard publish: acknowledged first, answered then, because their clients wait for the acknowledgement and would take
//! an answer before it for something else.

use super::{Client, Closing};
use crate::adapters::thingsboard::mqtt::{PROVISION_RESPONSE, Reply, connection_lost, take};
use crate::adapters::thingsboard::{Device, provision};
use crate::failure::Failure;
use crate::mqtt::access::{Speaks, Who};
use crate::mqtt::counters::Drop;
use crate::mqtt::wire::{Publish, Violation};
use crate::mqtt::{reason, thingsboard};

impl Client {
    /// Takes in what a board says.
    pub(super) async fn board_says(
        &mut self,
        device_id: i64,
        publish: &Publish,
        out: &mut Vec<u8>,
    ) -> Result<(), Closing> {
        let device = Device { id: device_id, project_id: self.project_id };
        let topic = thingsboard::as_board(&publish.topic).unwrap_or_default();
        let taken = take(&self.app, device, topic, publish.payload.as_slice()).await;
        let reply = self.settle(taken, publish, out)?;
        self.reply(device_id, reply, out)
    }

    /// Makes a device of a board.
    pub(super) async fn newcomer_says(&mut self, publish: &Publish, out: &mut Vec<u8>) -> Result<(), Closing> {
        let answered = provision::answer(&self.app, publish.payload.as_slice()).await;
        let answered = answered.map_err(Failure::Internal);
        let reply = answered.map(|answer| Some(Reply::json(PROVISION_RESPONSE.into(), &answer)));
        let reply = self.settle(reply, publish, out)?;
        self.reply(0, reply, out)
    }

    /// Acknowledges a message; what was not understood too, because MQTT 3.1.1 has no other word.
    fn settle<T>(
        &self,
        taken: Result<Option<T>, Failure>,
        publish: &Publish,
        out: &mut Vec<u8>,
    ) -> Result<Option<T>, Closing> {
        let (reply, code) = match taken {
            Ok(reply) => (reply, reason::SUCCESS),
            Err(Failure::Internal(error)) => {
                tracing::error!(error = format!("{error:#}"), "message of a board not taken in");
                // Without an acknowledgement the board sends it again.
                return Err(Violation(reason::SERVER_BUSY).into());
            }
            Err(failure) => {
                tracing::debug!(why = ?failure, "message of a board not understood");
                self.app.mqtt.counters.dropped(Drop::BadReport, 1);
                (None, reason::PAYLOAD_INVALID)
            }
        };
        self.acknowledge(publish.id, publish.qos, code, out);
        Ok(reply)
    }

    fn reply(&self, device_id: i64, reply: Option<Reply>, out: &mut Vec<u8>) -> Result<(), Closing> {
        let Some(reply) = reply else { return Ok(()) };
        let is_last = reply.is_last;
        thingsboard::answer(&self.hub, self.id, &self.link, device_id, reply);
        if is_last {
            self.hub.take_packets(self.id, &self.link, out);
            return Err(Violation(reason::UNSPECIFIED).into());
        }
        Ok(())
    }

    pub(super) fn is_thingsboard(&self) -> bool {
        matches!(self.who, Who::Device { speaks: Speaks::Thingsboard, .. })
    }

    /// The connection is gone.
    pub(super) fn tell_board_is_gone(&self) {
        if let Who::Device { id, speaks: Speaks::Thingsboard, .. } = self.who
            && !self.app.mqtt.is_online(id)
        {
            connection_lost(&self.app, id);
        }
    }
}
