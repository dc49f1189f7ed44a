//! The pages that the original's framework adds by itself. Panels do not ask for them; who looks finds what there is.

use crate::node::http::Content;

/// A page.
pub(super) struct Page {
    pub(super) content: Content,
    pub(super) body: &'static str,
}

/// The page at `path`.
pub(super) fn at(path: &str) -> Option<Page> {
    let (content, body) = match path {
        "/docs" | "/redoc" => (Content::Html, PAGE),
        "/openapi.json" => (Content::Json, DOCUMENT),
        _ => return None,
    };
    Some(Page { content, body })
}

const PAGE: &str = "<!DOCTYPE html>\n<html><head><title>Kariz node</title></head><body>\
    <h1>Kariz node</h1><p>The interface is described by <a href=\"/openapi.json\">openapi.json</a>.</p></body></html>\n";

const DOCUMENT: &str = concat!(
    r#"{"openapi":"3.1.0","info":{"title":"Kariz node","version":""#,
    env!("CARGO_PKG_VERSION"),
    r##""},"paths":{"/":{"post":{"responses":{"200":{"$ref":"#/components/responses/Status"}}}},"##,
    r##""/connect":{"post":{"responses":{"200":{"$ref":"#/components/responses/Status"}}}},"##,
    r##""/disconnect":{"post":{"responses":{"200":{"$ref":"#/components/responses/Status"}}}},"##,
    r##""/ping":{"post":{"requestBody":{"$ref":"#/components/requestBodies/Session"},"##,
    r##""responses":{"200":{"description":"An empty object"}}}},"##,
    r##""/start":{"post":{"requestBody":{"$ref":"#/components/requestBodies/Config"},"##,
    r##""responses":{"200":{"$ref":"#/components/responses/Status"}}}},"##,
    r##""/stop":{"post":{"requestBody":{"$ref":"#/components/requestBodies/Session"},"##,
    r##""responses":{"200":{"$ref":"#/components/responses/Status"}}}},"##,
    r##""/restart":{"post":{"requestBody":{"$ref":"#/components/requestBodies/Config"},"##,
    r##""responses":{"200":{"$ref":"#/components/responses/Status"}}}}},"##,
    r##""components":{"requestBodies":{"Session":{"content":{"application/json":{"schema":{"type":"object","##,
    r##""properties":{"session_id":{"type":"string","format":"uuid"}},"required":["session_id"]}}}},"##,
    r##""Config":{"content":{"application/json":{"schema":{"type":"object","##,
    r##""properties":{"session_id":{"type":"string","format":"uuid"},"config":{"type":"string"}},"##,
    r##""required":["session_id","config"]}}}}},"##,
    r##""responses":{"Status":{"description":"What the node does","content":{"application/json":{"schema":"##,
    r##"{"type":"object","properties":{"connected":{"type":"boolean"},"started":{"type":"boolean"},"##,
    r##""core_version":{"type":["string","null"]}}}}}}}}}"##,
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_is_json_and_names_every_endpoint() {
        let document: serde_json::Value = serde_json::from_str(DOCUMENT).unwrap();
        let paths: Vec<_> = document["paths"].as_object().unwrap().keys().collect();
        assert_eq!(
            paths,
            ["/", "/connect", "/disconnect", "/ping", "/start", "/stop", "/restart"]
        );
    }
}
