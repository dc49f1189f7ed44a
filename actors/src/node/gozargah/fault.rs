//! What a call fails with, in the words of both transports (`spec/node-panel.md`, 3.2 and 4.3).

use super::generation::Generation;
use super::rpc::node::node_service_server::SERVICE_NAME;
use hyper::StatusCode;
use tonic::{Code, Status};

/// A call that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    /// Over REST.
    pub(super) status: StatusCode,
    /// Over REST; a line feed comes behind it.
    pub(super) text: String,
    /// Over gRPC.
    code: Code,
    message: String,
}

impl Fault {
    fn new(status: StatusCode, code: Code, text: impl Into<String>) -> Self {
        let text = text.into();
        Self {
            status,
            code,
            message: text.clone(),
            text,
        }
    }

    /// The key is missing.
    pub(super) fn no_key() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            Code::Unauthenticated,
            "missing x-api-key header",
        )
    }

    /// What was given is no key at all.
    pub(super) fn malformed_key() -> Self {
        let text = "invalid api key format: must be a valid UUID";
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, Code::InvalidArgument, text)
    }

    /// It is another key.
    pub(super) fn wrong_key() -> Self {
        Self::new(StatusCode::FORBIDDEN, Code::PermissionDenied, "api key mismatch")
    }

    /// G0: nobody has started a core, so there is no session.
    pub(super) fn no_session() -> Self {
        Self::new(StatusCode::TOO_EARLY, Code::Unauthenticated, "please connect first")
    }

    /// G0: the session belongs to a panel at another address.
    pub(super) fn wrong_address() -> Self {
        let text = "IP address is not valid";
        Self::new(StatusCode::FORBIDDEN, Code::PermissionDenied, text)
    }

    /// G0: no session is named.
    pub(super) fn no_authorization() -> Self {
        Self {
            message: "missing authorization header".into(),
            ..Self::new(StatusCode::UNAUTHORIZED, Code::Unauthenticated, "please connect first")
        }
    }

    /// G0: a session is not named as it should be.
    pub(super) fn malformed_authorization() -> Self {
        Self {
            message: "invalid authorization header format".into(),
            ..Self::new(
                StatusCode::UNAUTHORIZED,
                Code::InvalidArgument,
                "invalid Authorization header format",
            )
        }
    }

    /// G0: what is named is no session's id. `reason` is Go's.
    pub(super) fn malformed_session(reason: &str) -> Self {
        Self {
            message: format!("invalid session ID: {reason}"),
            ..Self::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                Code::InvalidArgument,
                "please send valid uuid",
            )
        }
    }

    /// G0: it is another session.
    pub(super) fn wrong_session() -> Self {
        Self {
            message: "session ID mismatch".into(),
            ..Self::new(StatusCode::FORBIDDEN, Code::PermissionDenied, "session id mismatch.")
        }
    }

    /// No panel has started a core.
    pub(super) fn no_backend(generation: Generation) -> Self {
        let code = match generation.is_early() {
            true => Code::Internal,
            false => Code::Unavailable,
        };
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, code, "backend not initialized")
    }

    /// There is a backend, but its core does not run at the moment.
    pub(super) fn no_core() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            Code::Unavailable,
            "core is not started yet",
        )
    }

    /// There is no such path.
    pub(super) fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, Code::Unimplemented, "404 page not found")
    }

    /// The bytes are not the message that they should be.
    pub(super) fn undecodable(reason: impl ToString) -> Self {
        Self::new(StatusCode::BAD_REQUEST, Code::InvalidArgument, reason.to_string())
    }

    /// The bytes of a start are not what they should be.
    pub(super) fn undecodable_start(generation: Generation, reason: impl ToString) -> Self {
        match generation.is_early() {
            true => Self::start(reason),
            false => Self::undecodable(reason),
        }
    }

    /// The core does not run, for this reason.
    pub(super) fn not_started(reason: &str) -> Self {
        Self::start(format!("failed to start xray: {reason}"))
    }

    /// The core could not be started.
    pub(super) fn start(reason: impl ToString) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, Code::Unknown, reason.to_string())
    }

    /// The message says something that cannot be meant.
    pub(super) fn bad_request(text: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, Code::Unknown, text)
    }

    /// There is nothing of that kind.
    pub(super) fn unusable(text: &str) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, Code::Unknown, text)
    }

    /// What was asked for has no name. Since G3 it is said what kind of name is missing.
    pub(super) fn no_name(generation: Generation, missing: &str) -> Self {
        match generation.is_early() {
            true => Self::bad_request("name is required"),
            false => Self::unusable(missing),
        }
    }

    /// The core measures no latencies.
    pub(super) fn no_latency(reason: impl ToString) -> Self {
        Self::new(StatusCode::BAD_GATEWAY, Code::Unknown, reason.to_string())
    }

    /// A call over the protocol that `SERVICE_PROTOCOL` leaves out.
    pub(super) fn only_grpc(content_type: &str) -> Self {
        let text = format!("invalid gRPC request content-type {content_type:?}");
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, Code::InvalidArgument, text)
    }

    /// More calls that send users than there may be at a time.
    pub(super) fn too_many_calls() -> Self {
        Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            Code::ResourceExhausted,
            "too many calls that send users",
        )
    }

    /// The core said no to a question. In the Go node's words, which wrap the core's twice; in the first generations once, and
    /// without a status of its own over REST.
    pub(super) fn of_core(generation: Generation, status: &Status) -> Self {
        let status = &in_time(status);
        // Cores before 25.8 have no code of its own for it.
        let code = match status.code() {
            Code::Unknown if status.message().ends_with("not found.") => Code::NotFound,
            code => code,
        };
        let once = go_error(status.code(), status.message());
        let (status, text) = match generation.is_early() {
            true => (StatusCode::INTERNAL_SERVER_ERROR, once.clone()),
            false => (http_status(code), go_error(code, &once)),
        };
        Self {
            status,
            text,
            code,
            message: once,
        }
    }

    /// The core does not say how it is. Panels know the words, and wait.
    pub(super) fn sys_stats(generation: Generation, status: &Status) -> Self {
        let fault = Self::of_core(generation, status);
        let status = in_time(status);
        let text = format!("failed to get sys stats: {}", go_error(status.code(), status.message()));
        Self {
            message: text.clone(),
            text,
            ..fault
        }
    }

    /// A message that is longer than it may be, in Go's words in place of the library's; `None` if that is not what `status` says.
    pub(super) fn too_large(status: &Status) -> Option<Status> {
        let lengths = status
            .message()
            .strip_prefix("Error, decoded message length too large: found ")?;
        let (found, limit) = lengths.strip_suffix(" bytes")?.split_once(" bytes, the limit is: ")?;
        let text = format!("grpc: received message larger than max ({found} vs. {limit})");
        Some(Status::resource_exhausted(text))
    }

    /// What Go says where there is no call at `path` over gRPC; `None` if that is not what `status` says.
    pub(super) fn no_such_call(status: &Status, path: &str) -> Option<Status> {
        if status.code() != Code::Unimplemented || !status.message().is_empty() {
            return None;
        }
        let (service, method) = path.trim_start_matches('/').rsplit_once('/')?;
        Some(Status::unimplemented(match service {
            SERVICE_NAME => format!("unknown method {method} for service {service}"),
            _ => format!("unknown service {service}"),
        }))
    }

    /// A part of the node is gone.
    pub(super) fn internal() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            Code::Internal,
            "a part of the node is being restarted",
        )
    }
}

impl From<Fault> for Status {
    fn from(fault: Fault) -> Self {
        Self::new(fault.code, fault.message)
    }
}

/// A call that its own time limit ended, as Go says it: panels wait when they hear that, and start anew for other reasons.
fn in_time(status: &Status) -> Status {
    match (status.code(), status.message()) {
        (Code::Cancelled, "Timeout expired") => Status::deadline_exceeded("context deadline exceeded"),
        _ => status.clone(),
    }
}

/// How Go prints an error of gRPC.
fn go_error(code: Code, text: &str) -> String {
    format!("rpc error: code = {} desc = {text}", go_name(code))
}

fn go_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "Canceled",
        Code::Unknown => "Unknown",
        Code::InvalidArgument => "InvalidArgument",
        Code::DeadlineExceeded => "DeadlineExceeded",
        Code::NotFound => "NotFound",
        Code::AlreadyExists => "AlreadyExists",
        Code::PermissionDenied => "PermissionDenied",
        Code::ResourceExhausted => "ResourceExhausted",
        Code::FailedPrecondition => "FailedPrecondition",
        Code::Aborted => "Aborted",
        Code::OutOfRange => "OutOfRange",
        Code::Unimplemented => "Unimplemented",
        Code::Internal => "Internal",
        Code::Unavailable => "Unavailable",
        Code::DataLoss => "DataLoss",
        Code::Unauthenticated => "Unauthenticated",
    }
}

fn http_status(code: Code) -> StatusCode {
    match code {
        Code::Ok => StatusCode::OK,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Code::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
        Code::Cancelled => StatusCode::from_u16(499).unwrap_or(StatusCode::BAD_REQUEST),
        Code::Unimplemented => StatusCode::NOT_IMPLEMENTED,
        Code::InvalidArgument | Code::OutOfRange | Code::FailedPrecondition => StatusCode::BAD_REQUEST,
        Code::AlreadyExists | Code::Aborted => StatusCode::CONFLICT,
        Code::PermissionDenied => StatusCode::FORBIDDEN,
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        Code::Unknown | Code::Internal | Code::DataLoss => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_core_does_not_know_is_not_found() {
        let status = Status::not_found("user>>>a>>>online not found.");
        let once = "rpc error: code = NotFound desc = user>>>a>>>online not found.";
        let fault = Fault::of_core(Generation::G3, &status);
        assert_eq!(fault.status, StatusCode::NOT_FOUND);
        assert_eq!(fault.text, format!("rpc error: code = NotFound desc = {once}"));
        let over_grpc = Status::from(fault);
        assert_eq!((over_grpc.code(), over_grpc.message()), (Code::NotFound, once));
        let early = Fault::of_core(Generation::G1, &status);
        assert_eq!((early.status, &*early.text), (StatusCode::INTERNAL_SERVER_ERROR, once));
        let slow = Fault::sys_stats(Generation::G3, &Status::cancelled("Timeout expired"));
        assert_eq!(slow.status, StatusCode::GATEWAY_TIMEOUT);
        assert!(slow.text.starts_with("failed to get sys stats: "), "{}", slow.text);
        assert_eq!(slow.code, Code::DeadlineExceeded);
        let rest = |text: &str| Fault::of_core(Generation::G3, &Status::unknown(text)).status;
        assert_eq!(rest("x not found."), StatusCode::NOT_FOUND);
        assert_eq!(rest("x"), StatusCode::INTERNAL_SERVER_ERROR);
    }
    #[test]
    fn each_code_of_the_core_has_its_status() {
        for (code, status) in [
            (Code::NotFound, 404),
            (Code::Unavailable, 503),
            (Code::DeadlineExceeded, 504),
            (Code::Cancelled, 499),
            (Code::Unimplemented, 501),
            (Code::InvalidArgument, 400),
            (Code::OutOfRange, 400),
            (Code::FailedPrecondition, 400),
            (Code::AlreadyExists, 409),
            (Code::Aborted, 409),
            (Code::PermissionDenied, 403),
            (Code::Unauthenticated, 401),
            (Code::ResourceExhausted, 429),
            (Code::Unknown, 500),
            (Code::Internal, 500),
            (Code::DataLoss, 500),
        ] {
            let said = Status::new(code, "words");
            let late = Fault::of_core(Generation::G3, &said);
            assert_eq!((late.status.as_u16(), late.code), (status, code));
            let stats = Fault::sys_stats(Generation::G3, &said);
            assert_eq!((stats.status.as_u16(), stats.code), (status, code));
            for generation in [Generation::G0, Generation::G1] {
                let early = Fault::of_core(generation, &said);
                assert_eq!((early.status.as_u16(), early.code), (500, code), "{generation:?}");
                let stats = Fault::sys_stats(generation, &said);
                assert_eq!((stats.status.as_u16(), stats.code), (500, code), "{generation:?}");
            }
        }
    }
}
