//! The vectors of `spec/node-marzban.md`, 1.6.

use super::super::read_json::read;
use super::super::transform::{Additions, Misshapen, raise_log_level, transform};
use serde_json::Value;
use std::net::IpAddr;
use std::path::Path;

/// What the node adds, here for a panel at 192.0.2.7.
pub(super) fn additions(inbounds: &[String]) -> Additions<'_> {
    Additions {
        api_host: "0.0.0.0",
        api_port: 62051,
        certificate: Path::new("/var/lib/node/cert.pem"),
        key: Path::new("/var/lib/node/key.pem"),
        inbounds,
        panel: IpAddr::from([192, 0, 2, 7]),
    }
}

pub(super) const INBOUND: &str = concat!(
    r#"{"listen":"0.0.0.0","port":62051,"protocol":"dokodemo-door","settings":{"address":"127.0.0.1"},"#,
    r#""streamSettings":{"security":"tls","tlsSettings":{"certificates":[{"certificateFile":"/var/lib/node/cert.pem","#,
    r#""keyFile":"/var/lib/node/key.pem"}]}},"tag":"API_INBOUND"}"#
);

pub(super) const RULE: &str =
    r#"{"inboundTag":["API_INBOUND"],"source":["127.0.0.1","192.0.2.7"],"outboundTag":"API","type":"field"}"#;

pub(super) const API: &str = r#""api":{"services":["HandlerService","StatsService","LoggerService"],"tag":"API"}"#;

/// The text of a configuration after the transformation; `<api>`, `<inbound>` and `<rule>` in `expected` stand for what
/// is added.
#[track_caller]
fn check_with(text: &str, additions: &Additions<'_>, expected: &str) {
    let transformed = transform(read(text).unwrap(), additions).unwrap();
    let expected = expected
        .replace("<inbound>", INBOUND)
        .replace("<rule>", RULE)
        .replace("<api>", API);
    assert_eq!(Value::from(transformed).to_string(), expected, "{text}");
}

#[track_caller]
fn check(text: &str, expected: &str) {
    check_with(text, &additions(&[]), expected);
}

#[test]
fn an_empty_configuration_gets_everything() {
    let expected = r#"{<api>,"stats":{},"inbounds":[<inbound>],"routing":{"rules":[<rule>]}}"#;
    check("{}", expected);
    check("[]", expected);
}

#[test]
fn what_is_there_keeps_its_place() {
    check(
        r#"{"log":{"loglevel":"info"},"routing":{"domainStrategy":"AsIs","rules":[{"outboundTag":"block"}],"x":1},"stats":{"a":1},
            "policy":{"levels":{}},"inbounds":[{"tag":"a","port":1}],"api":{"tag":"api","x":1},"outbounds":[]}"#,
        r#"{"log":{"loglevel":"info"},"routing":{"domainStrategy":"AsIs","rules":[<rule>,{"outboundTag":"block"}],"x":1},"stats":{},"policy":{"levels":{}},"inbounds":[<inbound>,{"tag":"a","port":1}],"api":{"services":["HandlerService","StatsService","LoggerService"],"tag":"API"},"outbounds":[]}"#,
    );
}

#[test]
fn every_stale_inbound_goes_and_only_those() {
    let stale = r#"{"protocol":"dokodemo-door","tag":"API_INBOUND","x":1}"#;
    let others = r#"{"protocol":"dokodemo-door","tag":"tunnel"},{"protocol":"vless","tag":"API_INBOUND"},{"tag":5},{}"#;
    check(
        &format!(r#"{{"inbounds":[{stale},{stale},{others},{stale}]}}"#),
        &format!(r#"{{"inbounds":[<inbound>,{others}],<api>,"stats":{{}},"routing":{{"rules":[<rule>]}}}}"#),
    );
}

#[test]
fn every_rule_to_the_old_api_goes() {
    let rule = |tag: &str| format!(r#"{{"outboundTag":{tag}}}"#);
    let rules = [
        rule("\"old\""),
        rule("\"old\""),
        rule("\"API\""),
        "5".into(),
        "{}".into(),
        rule("\"old\""),
    ]
    .join(",");
    check(
        &format!(r#"{{"api":{{"tag":"old"}},"routing":{{"rules":[{rules}]}}}}"#),
        r#"{<api>,"routing":{"rules":[<rule>,{"outboundTag":"API"},5,{}]},"stats":{},"inbounds":[<inbound>]}"#,
    );
}

#[test]
fn an_api_without_a_true_tag_removes_nothing() {
    for tag in ["null", "\"\"", "0", "-0.0", "false", "[]", "{}"] {
        let rules = format!(r#"{{"outboundTag":{tag}}},{{"outboundTag":"API"}},{{}}"#);
        check(
            &format!(r#"{{"api":{{"tag":{tag}}},"routing":{{"rules":[{rules}]}}}}"#),
            &format!(r#"{{<api>,"routing":{{"rules":[<rule>,{rules}]}},"stats":{{}},"inbounds":[<inbound>]}}"#),
        );
    }
    for api in ["null", "{}", "5", "\"tag\"", "[\"tag\"]"] {
        check(
            &format!(r#"{{"api":{api},"routing":{{"rules":[{{"outboundTag":"API"}}]}}}}"#),
            r#"{<api>,"routing":{"rules":[<rule>,{"outboundTag":"API"}]},"stats":{},"inbounds":[<inbound>]}"#,
        );
    }
}

#[test]
fn routing_without_rules_keeps_its_other_keys() {
    check(
        r#"{"routing":{"domainStrategy":"IPIfNonMatch","balancers":[{"tag":"b"}]}}"#,
        r#"{"routing":{"domainStrategy":"IPIfNonMatch","balancers":[{"tag":"b"}],"rules":[<rule>]},<api>,"stats":{},"inbounds":[<inbound>]}"#,
    );
}

#[test]
fn only_listed_inbounds_stay() {
    let inbounds = ["VLESS TCP".to_owned(), "سلام".to_owned()];
    check_with(
        r#"{"inbounds":[{"tag":"VLESS TCP","a":1},{"tag":"vless tcp"},{"tag":["VLESS TCP"]},{},{"tag":"سلام"},{"tag":"VLESS TCP","a":2}]}"#,
        &additions(&inbounds),
        r#"{"inbounds":[<inbound>,{"tag":"VLESS TCP","a":1},{"tag":"سلام"},{"tag":"VLESS TCP","a":2}],<api>,"stats":{},"routing":{"rules":[<rule>]}}"#,
    );
}

#[test]
fn numbers_and_strings_stay_as_they_are() {
    let kept = r#""x":[18446744073709551616,-0,1.50,"سلام 🇮🇷","\u0000\n",{"":null}],"$serde_json::private::Number":"1""#;
    check(
        &format!("{{{kept}}}"),
        &format!(r#"{{{kept},<api>,"stats":{{}},"inbounds":[<inbound>],"routing":{{"rules":[<rule>]}}}}"#),
    );
}

#[test]
fn a_list_of_pairs_is_an_object() {
    check(
        r#"[["b",1],["a",[2]],["b",{"c":3}]]"#,
        r#"{"b":{"c":3},"a":[2],<api>,"stats":{},"inbounds":[<inbound>],"routing":{"rules":[<rule>]}}"#,
    );
}

#[test]
fn an_ipv4_address_in_ipv6_clothes_is_written_as_what_it_is() {
    let source = |panel: &str| {
        let additions = Additions {
            panel: panel.parse().unwrap(),
            ..additions(&[])
        };
        let transformed = transform(read("{}").unwrap(), &additions).unwrap();
        transformed["routing"]["rules"][0]["source"].to_string()
    };
    assert_eq!(source("::ffff:192.0.2.1"), r#"["127.0.0.1","192.0.2.1"]"#);
    assert_eq!(source("2001:db8:0::1"), r#"["127.0.0.1","2001:db8::1"]"#);
}

#[test]
fn other_shapes_are_refused() {
    for (text, expected) in [
        ("5", Misshapen::Configuration),
        ("\"\"", Misshapen::Configuration),
        ("null", Misshapen::Configuration),
        ("true", Misshapen::Configuration),
        ("[5]", Misshapen::Configuration),
        (r#"[["a"]]"#, Misshapen::Configuration),
        (r#"[["a",1,2]]"#, Misshapen::Configuration),
        (r#"[[1,"a"]]"#, Misshapen::Configuration),
        (r#"{"inbounds":null}"#, Misshapen::Inbounds),
        (r#"{"inbounds":5}"#, Misshapen::Inbounds),
        (r#"{"inbounds":{}}"#, Misshapen::Inbounds),
        (r#"{"inbounds":[{},null]}"#, Misshapen::Inbound),
        (r#"{"inbounds":[[]]}"#, Misshapen::Inbound),
        (r#"{"routing":null}"#, Misshapen::Routing),
        (r#"{"routing":[]}"#, Misshapen::Routing),
        (r#"{"routing":{"rules":null}}"#, Misshapen::Rules),
        (r#"{"routing":{"rules":{}}}"#, Misshapen::Rules),
    ] {
        assert_eq!(transform(read(text).unwrap(), &additions(&[])), Err(expected), "{text}");
    }
}

/// The configuration after its log level was looked at, or what Python says.
fn raised(text: &str) -> String {
    let mut configuration = transform(read(text).unwrap(), &additions(&[])).unwrap();
    match raise_log_level(&mut configuration) {
        Ok(()) => configuration.get("log").map(ToString::to_string).unwrap_or_default(),
        Err(message) => message,
    }
}

#[test]
fn a_level_that_hides_the_ready_line_is_raised() {
    for (log, expected) in [
        (
            r#"{"a":1,"logLevel":"none","b":2}"#,
            r#"{"a":1,"logLevel":"warning","b":2}"#,
        ),
        (r#"{"logLevel":"error"}"#, r#"{"logLevel":"warning"}"#),
        (r#"{"logLevel":"info"}"#, r#"{"logLevel":"info"}"#),
        (r#"{"logLevel":["none"]}"#, r#"{"logLevel":["none"]}"#),
        (r#"{"loglevel":"none"}"#, r#"{"loglevel":"none"}"#),
        ("{}", "{}"),
        ("null", "'NoneType' object has no attribute 'get'"),
        ("true", "'bool' object has no attribute 'get'"),
        ("-5", "'int' object has no attribute 'get'"),
        ("123456789012345678901234567890", "'int' object has no attribute 'get'"),
        ("5.0", "'float' object has no attribute 'get'"),
        ("5E1", "'float' object has no attribute 'get'"),
        ("\"none\"", "'str' object has no attribute 'get'"),
        ("[]", "'list' object has no attribute 'get'"),
    ] {
        assert_eq!(raised(&format!(r#"{{"log":{log}}}"#)), expected, "{log}");
    }
    assert_eq!(raised("{}"), "");
}
