//! The formats of JSON Schema that can be held, as regular expressions.
//!
//! llguidance has expressions of its own, which let through what a strict validator does not: the 29th of
//! February in any year, names of hosts of any length, leap seconds at noon. These are narrower: no reader
//! has a quarrel with what they match, and a model needs no more.

const DATE: &str = "(?:[0-9]{4}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)\
                    |02-(?:0[1-9]|1[0-9]|2[0-8]))|(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])\
                    |(?:[02468][48]|[2468]0|[13579][26])00)-02-29)";
const TIME: &str = r"(?:(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{1,6})?(?:Z|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9]))";
/// A label of at most 63 characters and a dot, no two hyphens beside one another. Three and a last one have less
/// than the 253 that a name may have.
const LABEL: &str = "(?:[A-Za-z0-9]{1,20}(?:-[A-Za-z0-9]{1,20}){0,2}\\.)";
const LAST_LABEL: &str = "[A-Za-z]{2,20}";
const BYTE: &str = "(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])";
const GROUP: &str = "[0-9a-fA-F]{1,4}";

/// A pattern, in both syntaxes, of what the format is; none where it cannot be held.
pub fn pattern(format: &str) -> Option<String> {
    let body = match format {
        "date" => DATE.to_owned(),
        "time" => TIME.to_owned(),
        "date-time" => format!("{DATE}T{TIME}"),
        "duration" => duration(),
        "email" => {
            let word = "[A-Za-z0-9_+-]{1,30}";
            format!(r"{word}(?:\.{word})?@{LABEL}{{1,3}}{LAST_LABEL}")
        }
        "hostname" => format!("{LABEL}{{0,3}}{LAST_LABEL}"),
        "ipv4" => format!(r"(?:{BYTE}\.){{3}}{BYTE}"),
        "ipv6" => ipv6(),
        "uuid" => "[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}".to_owned(),
        "uri" => {
            let segment = "[A-Za-z0-9._~-]{0,40}";
            format!(
                "[a-z][a-z0-9+.-]{{0,15}}://{LABEL}{{0,3}}{LAST_LABEL}(?::[1-9][0-9]{{0,3}})?(?:/{segment}){{0,8}}\
                 (?:\\?[A-Za-z0-9._~=&-]{{0,80}})?(?:#{segment})?"
            )
        }
        _ => return None,
    };
    Some(format!("^(?:{body})$"))
}

/// RFC 3339, appendix A.
fn duration() -> String {
    let n = "[0-9]{1,6}";
    let time = format!("T(?:{n}H(?:{n}M(?:{n}S)?)?|{n}M(?:{n}S)?|{n}S)");
    let date = format!("(?:{n}Y(?:{n}M(?:{n}D)?)?|{n}M(?:{n}D)?|{n}D)");
    format!("P(?:{n}W|{time}|{date}(?:{time})?)")
}

/// All eight groups, or `::` in the place of two or more.
fn ipv6() -> String {
    let mut ways = vec![format!("(?:{GROUP}:){{7}}{GROUP}"), "::".to_owned()];
    ways.push(format!("(?:{GROUP}:){{1,6}}:"));
    ways.push(format!(":(?::{GROUP}){{1,6}}"));
    ways.extend((1..=5).map(|n| format!("(?:{GROUP}:){{{n}}}(?::{GROUP}){{1,{}}}", 6 - n)));
    ways.join("|")
}

#[cfg(test)]
mod tests {
    use regex::Regex;
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_of_a_format_is_taken_and_what_only_looks_so_is_not() {
        for (format, good, bad) in [
            (
                "date",
                vec!["2024-02-29", "2000-02-29", "1999-12-31"],
                vec!["2023-02-29", "1900-02-29", "2024-04-31"],
            ),
            (
                "time",
                vec!["23:59:59Z", "00:00:00.25+01:30"],
                vec!["24:00:00Z", "12:00:60Z", "12:00:00"],
            ),
            ("date-time", vec!["2024-02-29T12:00:00Z"], vec!["2024-02-30T12:00:00Z", "2024-02-29"]),
            ("duration", vec!["P1W", "PT5M", "P1Y2M3DT4H"], vec!["P", "PT", "P1Y1W", "5M"]),
            ("email", vec!["a.b+c@d-e.org"], vec!["a@", "@b.org", "a..b@c.org"]),
            ("hostname", vec!["pump-1.farm.lan"], vec!["-a.lan", "a-.lan", "a..b"]),
            ("ipv4", vec!["192.168.0.255"], vec!["256.1.1.1", "1.2.3", "01.2.3.4"]),
            (
                "ipv6",
                vec!["::", "::1", "fe80::1:2", "1:2:3:4:5:6:7:8", "1::"],
                vec![":::", "1:2", "1::2::3", "1:2:3:4:5:6:7:8:9"],
            ),
            (
                "uuid",
                vec!["0189c2ab-0000-7000-8000-00000000000f"],
                vec!["0189c2ab00007000800000000000000f"],
            ),
            ("uri", vec!["http://a.lan:80/b?c=d#e", "mqtt://broker"], vec!["a.lan", "http://"]),
        ] {
            let regex = Regex::new(&pattern(format).unwrap()).unwrap();
            let schema = json!({"$schema": "https://json-schema.org/draft/2020-12/schema", "format": format});
            let strict =
                jsonschema::options().should_validate_formats(true).build(&schema).unwrap();
            for text in good {
                assert!(regex.is_match(text), "{format}: {text}");
                assert!(strict.is_valid(&json!(text)), "{format}: {text}, says the validator");
            }
            for text in bad {
                assert!(!regex.is_match(text), "{format}: {text}");
            }
        }
        assert_eq!(pattern("regex"), None);
    }
}
