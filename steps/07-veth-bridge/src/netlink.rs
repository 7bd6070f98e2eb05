//! Talking to the kernel's network side: netlink(7).
//!
//! A request is a datagram with one or more messages; the kernel does what they say, in order, before
//! send(2) returns, and its answers wait on the socket. No daemon, no thread, no async.

use std::fmt::Display;

use anyhow::{Context, Error, Result};
use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, NLM_F_REPLACE, NLM_F_REQUEST,
    NetlinkDeserializable, NetlinkHeader, NetlinkMessage, NetlinkPayload, NetlinkSerializable,
};
use netlink_sys::Socket;
use nix::errno::Errno;

/// The kernel never makes an answer larger than this: NLMSG_GOODSIZE's upper end, see netlink(7).
const LARGEST_ANSWER: usize = 32 * 1024;

/// A netlink socket in the network namespace in which it was opened.
pub(crate) struct Netlink {
    socket: Socket,
    sequence: u32,
}

/// One message to the kernel, and what it is for, for the error that it may cause.
pub(crate) struct Request<M> {
    what: String,
    message: NetlinkMessage<M>,
}

impl<M: NetlinkSerializable> Request<M> {
    /// Asks for one thing.
    pub fn get(what: impl Display, message: M) -> Self {
        Self::new(what, message, NLM_F_ACK)
    }

    /// Asks for all there are.
    pub fn dump(what: impl Display, message: M) -> Self {
        Self::new(what, message, NLM_F_DUMP)
    }

    /// Makes something that must not be there yet.
    pub fn create(what: impl Display, message: M) -> Self {
        Self::new(what, message, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL)
    }

    /// Makes something that may be there already.
    pub fn ensure(what: impl Display, message: M) -> Self {
        Self::new(what, message, NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE)
    }

    /// Changes or deletes what is there.
    pub fn change(what: impl Display, message: M) -> Self {
        Self::new(what, message, NLM_F_ACK)
    }

    fn new(what: impl Display, message: M, flags: u16) -> Self {
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST | flags;
        let message = NetlinkMessage::new(header, NetlinkPayload::InnerMessage(message));
        Request { what: what.to_string(), message }
    }
}

impl Netlink {
    /// Opens a socket in the calling thread's network namespace. `protocol`: NETLINK_ROUTE for links,
    /// addresses and routes, NETLINK_NETFILTER for the packet filter.
    pub fn open(protocol: isize) -> Result<Netlink> {
        let socket = Socket::new(protocol).context("open a netlink socket")?;
        Ok(Netlink { socket, sequence: 0 })
    }

    /// Sends all `requests` as one datagram and returns the answers. Each request is carried out
    /// whatever became of those before it; the first error is the one that returns.
    pub fn ask<M>(&mut self, requests: Vec<Request<M>>) -> Result<Vec<M>>
    where
        M: NetlinkSerializable + NetlinkDeserializable,
    {
        let first = self.sequence + 1;
        let count = requests.len();
        let mut whats = Vec::with_capacity(count);
        let mut datagram = Vec::new();
        for Request { what, mut message } in requests {
            self.sequence += 1;
            message.header.sequence_number = self.sequence;
            message.finalize();
            let start = datagram.len();
            // Messages begin at multiples of four: NLMSG_ALIGN, see netlink(3).
            datagram.resize(start + message.buffer_len().next_multiple_of(4), 0);
            message.serialize(&mut datagram[start..]);
            whats.push(what);
        }
        self.socket.send(&datagram, 0).context("send to netlink")?;

        let mut answers = Vec::new();
        let mut failed = None;
        let mut open = count;
        while open > 0 {
            for message in self.receive()? {
                let index = message.header.sequence_number.wrapping_sub(first) as usize;
                // An answer to an earlier request whose caller gave up on it.
                let Some(what) = whats.get(index) else { continue };
                match message.payload {
                    NetlinkPayload::InnerMessage(answer) => answers.push(answer),
                    NetlinkPayload::Done(_) => open -= 1,
                    NetlinkPayload::Error(outcome) => {
                        open -= 1;
                        if let Some(code) = outcome.code {
                            let error = Error::new(Errno::from_raw(-code.get()));
                            failed.get_or_insert_with(|| error.context(what.clone()));
                        }
                    }
                    _ => {}
                }
            }
        }
        failed.map_or(Ok(answers), Err)
    }

    /// The messages of the next datagram.
    fn receive<M: NetlinkDeserializable>(&mut self) -> Result<Vec<NetlinkMessage<M>>> {
        let mut buffer = Vec::with_capacity(LARGEST_ANSWER);
        self.socket.recv(&mut buffer, 0).context("receive from netlink")?;
        let mut messages = Vec::new();
        let mut rest = &buffer[..];
        while !rest.is_empty() {
            let message = NetlinkMessage::deserialize(rest).context("read netlink's answer")?;
            let length = (message.header.length as usize).next_multiple_of(4);
            rest = rest.get(length..).unwrap_or_default();
            messages.push(message);
        }
        Ok(messages)
    }
}
