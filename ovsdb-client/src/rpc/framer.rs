// SPDX-License-Identifier: Apache-2.0
//! Cuts a byte stream into JSON objects: nothing separates the messages but their own brackets.

/// How deep brackets may be nested. OVSDB messages nest about ten deep; the JSON parser recurses
/// and refuses 128. (OVS accepts 1000, lib/json.c.)
pub const MAX_DEPTH: u32 = 100;

/// An incremental scanner: every byte is looked at once, however it arrives.
///
/// It counts brackets outside strings and leaves all other rules of JSON to the parser.
#[derive(Clone, Debug)]
pub struct Framer {
    max_message_bytes: usize,
    partial: Vec<u8>,
    depth: u32,
    text: Text,
    offset: u64,
}

/// Where the scanner is relative to strings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Text {
    Outside,
    Inside,
    Escaped,
}

/// The bytes of one JSON object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The position of its first byte in the stream.
    pub offset: u64,
    /// From the opening to the closing brace.
    pub bytes: Vec<u8>,
}

impl Framer {
    /// A scanner at the beginning of a stream, for messages of at most `max_message_bytes`.
    pub const fn new(max_message_bytes: usize) -> Self {
        Self {
            max_message_bytes,
            partial: Vec::new(),
            depth: 0,
            text: Text::Outside,
            offset: 0,
        }
    }

    /// Takes bytes from the front of `input` until a message is complete; `None` means all are
    /// taken and more are needed. What is kept never exceeds one message. After an error the
    /// stream cannot be read further.
    pub fn next_frame(&mut self, input: &mut &[u8]) -> Result<Option<Frame>, FrameError> {
        if self.depth == 0 {
            self.skip_to_message(input)?;
        }
        let bytes = *input;
        for (at, &byte) in bytes.iter().enumerate() {
            let complete = self.scan(byte).map_err(|kind| self.error(kind, at))?;
            if complete {
                let (message, rest) = bytes.split_at(at.saturating_add(1));
                *input = rest;
                self.keep(message)?;
                let bytes = std::mem::take(&mut self.partial);
                let offset = self.offset.saturating_sub(bytes.len() as u64);
                return Ok(Some(Frame { offset, bytes }));
            }
        }
        *input = &[];
        self.keep(bytes)?;
        Ok(None)
    }

    fn skip_to_message(&mut self, input: &mut &[u8]) -> Result<(), FrameError> {
        while let [byte, rest @ ..] = *input {
            match byte {
                b'{' => break,
                b' ' | b'\t' | b'\r' | b'\n' => {
                    self.offset = self.offset.saturating_add(1);
                    *input = rest;
                }
                _ => return Err(self.error(FrameErrorKind::NotAnObject(*byte), 0)),
            }
        }
        Ok(())
    }

    /// Whether `byte` closes the message.
    fn scan(&mut self, byte: u8) -> Result<bool, FrameErrorKind> {
        match (self.text, byte) {
            (Text::Inside, b'"') => self.text = Text::Outside,
            (Text::Inside, b'\\') => self.text = Text::Escaped,
            (Text::Inside, _) => {}
            (Text::Escaped, _) => self.text = Text::Inside,
            (Text::Outside, b'"') => self.text = Text::Inside,
            (Text::Outside, b'{' | b'[') if self.depth == MAX_DEPTH => {
                return Err(FrameErrorKind::TooDeep);
            }
            (Text::Outside, b'{' | b'[') => self.depth = self.depth.saturating_add(1),
            (Text::Outside, b'}' | b']') => {
                self.depth = self.depth.saturating_sub(1);
                return Ok(self.depth == 0);
            }
            (Text::Outside, _) => {}
        }
        Ok(false)
    }

    fn keep(&mut self, bytes: &[u8]) -> Result<(), FrameError> {
        if bytes.len() > self.max_message_bytes.saturating_sub(self.partial.len()) {
            return Err(self.error(FrameErrorKind::TooLarge(self.max_message_bytes), 0));
        }
        self.partial.extend_from_slice(bytes);
        self.offset = self.offset.saturating_add(bytes.len() as u64);
        Ok(())
    }

    const fn error(&self, kind: FrameErrorKind, ahead: usize) -> FrameError {
        FrameError {
            offset: self.offset.saturating_add(ahead as u64),
            kind,
        }
    }
}

/// The stream is not a sequence of JSON objects of acceptable size.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("byte {offset} of the stream: {kind}")]
pub struct FrameError {
    /// The position in the stream.
    pub offset: u64,
    /// What is wrong there.
    pub kind: FrameErrorKind,
}

/// What is wrong with a stream.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameErrorKind {
    /// A message begins with something else than a brace; the peer speaks another protocol.
    #[error("expected a JSON object, found byte {0:#04x}; is the peer an OVSDB server?")]
    NotAnObject(u8),
    /// Brackets are nested deeper than [`MAX_DEPTH`].
    #[error("brackets nested deeper than {MAX_DEPTH}")]
    TooDeep,
    /// The message is longer than the limit.
    #[error("message longer than {0} bytes; monitor fewer columns or raise max_message_bytes")]
    TooLarge(usize),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(framer: &mut Framer, mut input: &[u8]) -> Result<Vec<String>, FrameError> {
        let mut frames = Vec::new();
        while let Some(frame) = framer.next_frame(&mut input)? {
            frames.push(String::from_utf8(frame.bytes).unwrap());
        }
        assert!(input.is_empty());
        Ok(frames)
    }

    #[test]
    fn two_messages_of_one_read_are_two_frames() {
        let mut framer = Framer::new(100);
        assert_eq!(
            frames(&mut framer, b"{\"id\":1}{\"id\":2}\n{\"i").unwrap(),
            ["{\"id\":1}", "{\"id\":2}"]
        );
        assert_eq!(frames(&mut framer, b"d\":3}").unwrap(), ["{\"id\":3}"]);
    }

    #[test]
    fn brackets_and_escaped_quotes_inside_strings_do_not_count() {
        let message = r#"{"a":"}\"]\\","b":["\\\"{"]}"#;
        for cut in 0..message.len() {
            let (head, tail) = message.as_bytes().split_at(cut);
            let mut framer = Framer::new(100);
            assert!(frames(&mut framer, head).unwrap().is_empty());
            assert_eq!(
                frames(&mut framer, tail).unwrap(),
                [message],
                "cut at {cut}"
            );
        }
    }

    #[test]
    fn a_frame_tells_where_it_began() {
        let mut input: &[u8] = b" {}  {\"a\":1}";
        let mut framer = Framer::new(100);
        assert_eq!(framer.next_frame(&mut input).unwrap().unwrap().offset, 1);
        assert_eq!(framer.next_frame(&mut input).unwrap().unwrap().offset, 5);
    }

    #[test]
    fn another_protocol_is_refused_with_the_offset() {
        let error = frames(&mut Framer::new(100), b"{} HTTP/1.1").unwrap_err();
        assert_eq!(
            error,
            FrameError {
                offset: 3,
                kind: FrameErrorKind::NotAnObject(b'H')
            }
        );
    }

    #[test]
    fn nesting_is_limited() {
        let nested = |depth: u32| {
            let opening = "[".repeat(depth as usize - 1);
            format!("{{\"a\":{opening}{}}}", "]".repeat(depth as usize - 1))
        };
        assert_eq!(
            frames(&mut Framer::new(1000), nested(MAX_DEPTH).as_bytes())
                .unwrap()
                .len(),
            1
        );
        let error = frames(&mut Framer::new(1000), nested(MAX_DEPTH + 1).as_bytes()).unwrap_err();
        assert_eq!(error.kind, FrameErrorKind::TooDeep);
    }

    #[test]
    fn a_message_may_be_as_long_as_the_limit_and_no_longer() {
        let message = br#"{"a":"0123456789"}"#;
        for chunk in [1, 7, message.len()] {
            let mut framer = Framer::new(message.len());
            let complete: usize = message
                .chunks(chunk)
                .map(|part| frames(&mut framer, part).unwrap().len())
                .sum();
            assert_eq!(complete, 1);

            let mut framer = Framer::new(message.len() - 1);
            let refused = message
                .chunks(chunk)
                .find_map(|part| frames(&mut framer, part).err());
            assert_eq!(
                refused.unwrap().kind,
                FrameErrorKind::TooLarge(message.len() - 1)
            );
        }
    }
}
