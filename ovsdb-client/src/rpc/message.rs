// SPDX-License-Identifier: Apache-2.0
//! The three kinds of JSON-RPC 1.0 message.

use serde_json::{Map, Value, json};

use crate::rpc::Frame;
use crate::text::excerpt;

/// One JSON-RPC message.
#[derive(Clone, Debug, PartialEq)]
pub enum Message {
    /// `{"method": ..., "params": [...], "id": <not null>}`
    Request {
        /// What the reply must repeat.
        id: Value,
        /// The method.
        method: String,
        /// Its parameters.
        params: Vec<Value>,
    },
    /// `{"method": ..., "params": [...], "id": null}`
    Notification {
        /// The method.
        method: String,
        /// Its parameters.
        params: Vec<Value>,
    },
    /// `{"result": ..., "error": null, "id": ...}`
    Result {
        /// The `id` of the request.
        id: Value,
        /// The result.
        result: Value,
    },
    /// `{"result": null, "error": <not null>, "id": ...}`
    Error {
        /// The `id` of the request.
        id: Value,
        /// A string or an `<error>` object.
        error: Value,
    },
}

impl Message {
    /// Reads one frame.
    pub fn parse(frame: &Frame) -> Result<Self, MessageError> {
        let message: Value =
            serde_json::from_slice(&frame.bytes).map_err(|error| MessageError::Json {
                offset: frame.offset,
                problem: error.to_string(),
            })?;
        let shape = |problem| MessageError::Shape {
            offset: frame.offset,
            problem,
        };
        let Value::Object(mut members) = message else {
            return Err(shape("it is no object"));
        };
        let id = take(&mut members, "id");
        match (take(&mut members, "method"), take(&mut members, "error")) {
            (Value::String(method), _) => {
                let Value::Array(params) = take(&mut members, "params") else {
                    return Err(shape("params is no array"));
                };
                Ok(match id {
                    Value::Null => Self::Notification { method, params },
                    id => Self::Request { id, method, params },
                })
            }
            (Value::Null, Value::Null) => match members.remove("result") {
                Some(result) => Ok(Self::Result { id, result }),
                None => Err(shape("it has neither method nor result nor error")),
            },
            (Value::Null, error) => Ok(Self::Error { id, error }),
            _ => Err(shape("method is no string")),
        }
    }

    /// Appends the message to `out`.
    pub fn write(self, out: &mut Vec<u8>) {
        let message = match self {
            Self::Request { id, method, params } => {
                json!({"id": id, "method": method, "params": params})
            }
            Self::Notification { method, params } => {
                json!({"id": null, "method": method, "params": params})
            }
            Self::Result { id, result } => json!({"id": id, "result": result, "error": null}),
            Self::Error { id, error } => json!({"id": id, "result": null, "error": error}),
        };
        out.extend_from_slice(message.to_string().as_bytes());
    }
}

/// The words of an error: a bare string, or `{"error": ..., "details": ...}`.
pub(crate) fn error_text(error: &Value) -> String {
    let member = |name| error.get(name).and_then(Value::as_str);
    match (error, member("error"), member("details")) {
        (Value::String(error), _, _) => error.clone(),
        (_, Some(error), Some(details)) => format!("{error}: {details}"),
        (_, Some(error), None) => error.to_owned(),
        (other, None, _) => excerpt(&other.to_string()),
    }
}

/// A frame that is no JSON-RPC message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// It is not JSON.
    #[error("message at byte {offset} of the stream is not JSON: {problem}")]
    Json {
        /// Where the message begins.
        offset: u64,
        /// The words of the parser.
        problem: String,
    },
    /// It is JSON, but neither request nor notification nor response.
    #[error("message at byte {offset} of the stream is not JSON-RPC: {problem}")]
    Shape {
        /// Where the message begins.
        offset: u64,
        /// What is wrong.
        problem: &'static str,
    },
}

fn take(members: &mut Map<String, Value>, name: &str) -> Value {
    members.remove(name).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Message, MessageError> {
        Message::parse(&Frame {
            offset: 9,
            bytes: text.as_bytes().to_vec(),
        })
    }

    #[test]
    fn the_kinds_are_told_apart() {
        assert_eq!(
            parse(r#"{"id":"echo","method":"echo","params":[]}"#).unwrap(),
            Message::Request {
                id: json!("echo"),
                method: "echo".to_owned(),
                params: vec![]
            }
        );
        assert_eq!(
            parse(r#"{"id":null,"method":"update2","params":[1,{}]}"#).unwrap(),
            Message::Notification {
                method: "update2".to_owned(),
                params: vec![json!(1), json!({})]
            }
        );
        assert_eq!(
            parse(r#"{"id":3,"result":null,"error":null}"#).unwrap(),
            Message::Result {
                id: json!(3),
                result: Value::Null
            }
        );
        // OVS leaves `result` out of an error.
        assert_eq!(
            parse(r#"{"id":4,"error":"unknown method"}"#).unwrap(),
            Message::Error {
                id: json!(4),
                error: json!("unknown method")
            }
        );
    }

    #[test]
    fn what_is_no_message_is_refused_with_its_offset() {
        assert!(matches!(
            parse("{]"),
            Err(MessageError::Json { offset: 9, .. })
        ));
        assert!(matches!(
            parse("{\"a\":\"\u{1}\"}"),
            Err(MessageError::Json { .. })
        ));
        for text in [
            "{}",
            r#"{"id":1}"#,
            r#"{"method":1,"params":[]}"#,
            r#"{"method":"echo"}"#,
        ] {
            assert!(
                matches!(parse(text), Err(MessageError::Shape { offset: 9, .. })),
                "{text}"
            );
        }
    }

    #[test]
    fn an_error_is_put_in_words() {
        assert_eq!(error_text(&json!("canceled")), "canceled");
        assert_eq!(
            error_text(&json!({"error": "unknown database", "details": "no x", "syntax": "[]"})),
            "unknown database: no x"
        );
        assert_eq!(error_text(&json!([1])), "[1]");
    }
}
