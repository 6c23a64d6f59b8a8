//! The console: static files in the binary. They hold no secrets, so everybody may have them; what they show comes from the API.

use hyper::StatusCode;
use hyper::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderName, HeaderValue, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};

use super::reply::{Reply, reply};

/// A file of the console.
struct File {
    /// Below the root, as a request names it.
    path: &'static str,
    content_type: &'static str,
    content: &'static [u8],
}

impl File {
    const fn html(path: &'static str, content: &'static [u8]) -> Self {
        Self { path, content_type: "text/html; charset=utf-8", content }
    }

    const fn css(path: &'static str, content: &'static [u8]) -> Self {
        Self { path, content_type: "text/css; charset=utf-8", content }
    }

    const fn svg(path: &'static str, content: &'static [u8]) -> Self {
        Self { path, content_type: "image/svg+xml", content }
    }

    const fn script(path: &'static str, content: &'static [u8]) -> Self {
        Self { path, content_type: "text/javascript; charset=utf-8", content }
    }
}

/// Every file.
const FILES: &[File] = &[
    File::html("/", include_bytes!("index.html")),
    File::css("/style.css", include_bytes!("style.css")),
    File::svg("/icon.svg", include_bytes!("icon.svg")),
    File::script("/actions.js", include_bytes!("actions.js")),
    File::script("/api.js", include_bytes!("api.js")),
    File::script("/app.js", include_bytes!("app.js")),
    File::script("/checks.js", include_bytes!("checks.js")),
    File::script("/config.js", include_bytes!("config.js")),
    File::script("/curve.js", include_bytes!("curve.js")),
    File::script("/data.js", include_bytes!("data.js")),
    File::script("/dialog.js", include_bytes!("dialog.js")),
    File::script("/dom.js", include_bytes!("dom.js")),
    File::script("/feed.js", include_bytes!("feed.js")),
    File::script("/fleet.js", include_bytes!("fleet.js")),
    File::script("/format.js", include_bytes!("format.js")),
    File::script("/gate.js", include_bytes!("gate.js")),
    File::script("/hot.js", include_bytes!("hot.js")),
    File::script("/item.js", include_bytes!("item.js")),
    File::script("/overview.js", include_bytes!("overview.js")),
    File::script("/plot.js", include_bytes!("plot.js")),
    File::script("/table.js", include_bytes!("table.js")),
    File::script("/tables.js", include_bytes!("tables.js")),
    File::script("/upstream.js", include_bytes!("upstream.js")),
    File::script("/values.js", include_bytes!("values.js")),
    File::script("/visible.js", include_bytes!("visible.js")),
    File::script("/warnings.js", include_bytes!("warnings.js")),
];

/// No code, style or picture from elsewhere or in the page itself; no frame around it, so that nobody is led to press what they do not
/// see; no form is sent by the browser, so that no token gets into an address.
const POLICY: &str = "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// What each file comes with: nothing from elsewhere is loaded, and nobody learns where the reader came from.
const HEADERS: [(HeaderName, &str); 4] = [
    (CONTENT_SECURITY_POLICY, POLICY),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (REFERRER_POLICY, "no-referrer"),
    (CACHE_CONTROL, "no-cache"),
];

/// The file at a path, if there is one.
pub(super) fn file(path: &str) -> Option<Reply> {
    let file = FILES.iter().find(|file| file.path == path)?;
    let mut reply = reply(StatusCode::OK, file.content_type, file.content);
    for (name, value) in HEADERS {
        reply.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    Some(reply)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    /// What the files have together at most, so that the console opens at once.
    const BYTES_MAX: usize = 200_000;

    fn text(file: &File) -> &'static str {
        std::str::from_utf8(file.content).unwrap()
    }

    #[test]
    fn files_name_nothing_outside_and_only_relative_paths() {
        for file in FILES {
            let text = text(file);
            for absolute in
                ["src=\"/", "href=\"/", "from \"/", "src=\"http", "href=\"http", "from \"http", "url("]
            {
                assert!(!text.contains(absolute), "{} has {absolute}", file.path);
            }
        }
        assert!(super::file("/../mod.rs").is_none() && super::file("/mod.rs").is_none());
    }

    #[test]
    fn values_of_users_have_no_way_to_become_markup_or_code() {
        for file in FILES {
            for way in [
                "innerHTML",
                "outerHTML",
                "insertAdjacentHTML",
                "document.write",
                "eval(",
                "new Function",
                "srcdoc",
                "style=\"",
            ] {
                assert!(!text(file).contains(way), "{} has {way}", file.path);
            }
            let headers = super::file(file.path).unwrap();
            assert!(
                headers.headers()[CONTENT_SECURITY_POLICY]
                    .to_str()
                    .unwrap()
                    .starts_with("default-src 'self';")
            );
        }
    }

    #[test]
    fn every_file_of_the_folder_is_served_and_nothing_else_is_asked_for() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/admin/console");
        let names =
            std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let there: BTreeSet<String> =
            names.filter(|name| name != "mod.rs").map(|name| format!("/{name}")).collect();
        let served: BTreeSet<String> = FILES
            .iter()
            .map(|file| if file.path == "/" { "/index.html" } else { file.path }.to_owned())
            .collect();
        assert_eq!(there, served);
        for file in FILES {
            for import in text(file).split("from \"./").skip(1) {
                let name = import.split('"').next().unwrap();
                assert!(served.contains(&format!("/{name}")), "{} imports {name}", file.path);
            }
        }
    }

    #[test]
    fn all_of_it_is_small() {
        let bytes: usize = FILES.iter().map(|file| file.content.len()).sum();
        assert!(bytes <= BYTES_MAX, "{bytes} bytes");
    }
}
