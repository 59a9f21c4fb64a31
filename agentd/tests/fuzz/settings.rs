//! The config file.

use std::path::Path;

use agentd::agent::reflex::Reflex;
use agentd::config::Config;

use super::driver::{Target, Verdict, bounded, texts};

#[test]
fn a_config_is_refused_with_a_line_that_the_file_has_or_fits_together() {
    let target = Target {
        name: "config",
        corpus: texts(&[
            include_str!("../../../configs/demo.toml"),
            include_str!("../../../configs/raspberry-pi.toml"),
            "[device]\nid = \"a\"\n[mqtt]\nurl = \"mqtt://localhost\"\n[http]\nlisten = \"off\"\n",
            "[[serial]]\nname = \"b\"\npath = \"/dev/x\"\nline_ending = \"\\r\\n\"\nlate_ms = 5\n\
             [[tool]]\nname = \"t\"\ndescription = \"d\"\nkind = \"serial\"\nport = \"b\"\n\
             send = \"X {a:.1}\"\nexpect = '^(?P<v>\\S+)$'\nparams.a = { type = \"number\", min = 0 }\n\
             sentences = [\"x {a}\"]\nexamples = [{ say = \"y\", call = { a = 1 } }]\n",
        ]),
        words: &[
            "[[tool]]\n",
            "[[serial]]\n",
            "[a.b.c]\n",
            "\"\"\"",
            "'''",
            "= {",
            "inf",
            "nan",
            "1979-05-27T07:32:00Z",
            "0x_ff",
            "kind = \"sql\"\n",
            "sql = \"SELECT 1\"\n",
            "x = ",
            "#",
        ],
        one_in: 4,
    };
    target.run(|text| {
        // The file is read as text before it is parsed.
        let Ok(text) = std::str::from_utf8(text) else { return Verdict::Refused };
        let parsed = Config::parse(text, Path::new("a.toml"));
        match &parsed {
            Ok(config) => {
                assert!(agentd::command::valid_id(&config.device_id()));
                assert!(Reflex::new(&config.tool).is_ok());
            }
            Err(error) => {
                let message = error.to_string();
                bounded(&message, 4 * text.len() + 4096);
                for after in message.split("a.toml:").skip(1) {
                    let line: String = after.chars().take_while(char::is_ascii_digit).collect();
                    let line: usize = line.parse().expect("a line");
                    assert!((1..=text.split('\n').count()).contains(&line), "{message}");
                }
            }
        }
        Verdict::of(&parsed)
    });
}
