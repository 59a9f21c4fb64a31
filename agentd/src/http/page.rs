//! `/`: the kiosk page. Three files that are part of the program; nothing comes from elsewhere.

use axum::Router;
use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::get;

use super::routes::Shared;

/// The page runs only its own script and style, talks only to this daemon, and stands in no frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                      img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const FILES: [(&str, &str, &str); 3] = [
    ("/", "text/html; charset=utf-8", include_str!("kiosk/index.html")),
    ("/kiosk.css", "text/css; charset=utf-8", include_str!("kiosk/kiosk.css")),
    ("/kiosk.js", "text/javascript; charset=utf-8", include_str!("kiosk/kiosk.js")),
];

/// Whether a path is one of the page's files, which hold no secrets.
pub(super) fn is_page(path: &str) -> bool {
    FILES.iter().any(|(own, _, _)| *own == path)
}

pub(super) fn router() -> Router<Shared> {
    FILES.iter().fold(Router::new(), |router, (path, kind, content)| {
        let headers = [
            (header::CONTENT_TYPE, *kind),
            (header::CONTENT_SECURITY_POLICY, POLICY),
            (header::REFERRER_POLICY, "no-referrer"),
            // After an update of the daemon, the page is the new one.
            (header::CACHE_CONTROL, "no-cache"),
        ];
        router.route(path, get(move || std::future::ready((headers, *content).into_response())))
    })
}
