//! A model's own chat template, with the tools that it is offered.
//!
//! llama.cpp's bindings render messages alone; templates of models that call tools render those too, in the way that
//! the model was trained on. They are programs in Jinja, written for Python: some of Python's methods, `tojson` as Python
//! writes JSON, `raise_exception` and `strftime_now` are there for them. Where tools may stand in the system's message or in
//! the first of the user's, they stand in the system's: it is the static part.
//!
//! Bounds: a template comes with the model, and is trusted no more than it: it can call nothing but these, and has
//! [`FUEL`] instructions.

use llama_cpp_2::model::LlamaModel;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, Serde, Value};
use minijinja::{Environment, Error, ErrorKind, UndefinedBehavior, context};
use serde_json::ser::{Formatter, PrettyFormatter, Serializer};

use super::Message;
use super::native::Native;

/// The most instructions of one rendering: a template of a hundred tools takes some ten thousand.
const FUEL: u64 = 5_000_000;
/// The date that templates are told: another one each day would have the static part computed anew.
const TODAY: jiff::civil::Date = jiff::civil::date(2024, 7, 26);
/// The template's name.
const NAME: &str = "chat";

/// A template.
#[derive(Debug)]
pub struct Template {
    environment: Environment<'static>,
    bos: String,
    eos: String,
}

impl Template {
    /// Of its text, for a model whose texts begin and end with these.
    pub fn new(text: &str, bos: &str, eos: &str) -> Result<Self, String> {
        let mut environment = Environment::new();
        // As the library of the models' makers sets it.
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        environment.set_syntax(syntax.map_err(|e| reason(&e))?);
        environment.set_undefined_behavior(UndefinedBehavior::Lenient);
        environment.set_fuel(Some(FUEL));
        environment
            .set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.add_filter("tojson", tojson);
        environment.add_function("raise_exception", raise);
        environment.add_function("strftime_now", |form: String| TODAY.strftime(&form).to_string());
        environment.add_template_owned(NAME, text.to_owned()).map_err(|e| reason(&e))?;
        Ok(Self { environment, bos: bos.to_owned(), eos: eos.to_owned() })
    }

    /// The one that a model has for tools, or its only one, and the way that it tells; none where it tells none. The
    /// error says why it cannot be used: it fails, or does not show the tools before what is said.
    pub fn of(model: &LlamaModel) -> Result<Option<(Self, Native)>, String> {
        let named = model.chat_template(Some("tool_use")).or_else(|_| model.chat_template(None));
        let text = named.ok().and_then(|template| template.to_string().ok());
        let Some((text, way)) = text.and_then(|text| Native::of(&text).map(|way| (text, way)))
        else {
            return Ok(None);
        };
        let vocab = model.vocab();
        let piece = |token| String::from_utf8(vocab.token_to_piece(token, true, None));
        let [bos, eos] = [vocab.bos(), vocab.eos()].map(|token| match token.0 {
            0.. => piece(token).unwrap_or_default(),
            _ => String::new(),
        });
        let template = Self::new(&text, &bos, &eos)?;
        template.check()?;
        Ok(Some((template, way)))
    }

    /// Whether it shows tools, and before what is said. The error says what is wrong.
    fn check(&self) -> Result<(), String> {
        const TOOL: &str = "probe_of_a_tool";
        const SAID: &str = "probe of a request";
        let tools = serde_json::json!([{
            "type": "function",
            "function": {"name": TOOL, "description": "d", "parameters": {"type": "object", "properties": {}, "required": []}},
        }]);
        let message =
            |role: &str, content: &str| Message { role: role.into(), content: content.into() };
        let rendered =
            self.render(&[message("system", "s"), message("user", SAID)], &tools, true)?;
        match (rendered.find(TOOL), rendered.find(SAID)) {
            (Some(tool), Some(said)) if tool < said => Ok(()),
            (Some(_), Some(_)) => Err("its chat template shows tools behind what is said".into()),
            _ => Err("its chat template shows no tools".into()),
        }
    }

    /// What begins a text of the model, which a template may write itself.
    pub fn bos(&self) -> &str {
        &self.bos
    }

    /// Messages and tools as the model reads them; with `answers`, up to where its answer begins.
    pub fn render(
        &self,
        messages: &[Message],
        tools: &serde_json::Value,
        answers: bool,
    ) -> Result<String, String> {
        let mut said: Vec<serde_json::Value> = messages
            .iter()
            .map(|m| serde_json::json!({"role": m.role, "content": m.content}))
            .collect();
        // Phi's reads them there, and as text.
        if let Some(system) = said.first_mut().filter(|first| first["role"] == "system") {
            let functions: Vec<_> =
                tools.as_array().into_iter().flatten().map(|tool| &tool["function"]).collect();
            system["tools"] = python(&functions, None).map_err(|e| e.to_string())?.into();
        }
        let template = self.environment.get_template(NAME).map_err(|e| reason(&e))?;
        let rendered = template.render(context! {
            messages => Value::from(Serde(&said)),
            tools => Value::from(Serde(tools)),
            add_generation_prompt => answers,
            bos_token => self.bos.as_str(),
            eos_token => self.eos.as_str(),
            // What a model thinks before it answers costs a board minutes.
            enable_thinking => false,
            tools_in_user_message => false,
            date_string => TODAY.strftime("%d %b %Y").to_string(),
        });
        let rendered = rendered.map_err(|e| reason(&e))?;
        // Some begin a thought whatever they are told.
        Ok(match answers && rendered.trim_end().ends_with("<think>") {
            true => format!("{}\n\n</think>\n\n", rendered.trim_end()),
            false => rendered,
        })
    }
}

/// A value as Python's `json.dumps` writes it: a space behind commas and colons, and no character escaped that need not be.
fn tojson(value: Value, options: Kwargs) -> Result<Value, Error> {
    let indent: Option<usize> = options.get("indent")?;
    // Whether keys are sorted, or other characters escaped, models do not mind.
    for name in ["sort_keys", "ensure_ascii", "separators"] {
        let _: Option<Value> = options.get(name)?;
    }
    options.assert_all_used()?;
    let json = python(&value, indent);
    json.map(Value::from_safe_string)
        .map_err(|e| Error::new(ErrorKind::InvalidOperation, e.to_string()))
}

fn python(value: &impl serde::Serialize, indent: Option<usize>) -> serde_json::Result<String> {
    let mut out = Vec::new();
    match indent {
        Some(spaces) => {
            let spaces = vec![b' '; spaces.min(16)];
            let pretty = PrettyFormatter::with_indent(&spaces);
            value.serialize(&mut Serializer::with_formatter(&mut out, pretty))?;
        }
        None => value.serialize(&mut Serializer::with_formatter(&mut out, Spaced))?,
    }
    // It writes nothing but UTF-8.
    Ok(String::from_utf8(out).unwrap_or_default())
}

/// JSON with a space behind each comma and colon.
struct Spaced;

impl Formatter for Spaced {
    fn begin_array_value<W: ?Sized + std::io::Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> std::io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_key<W: ?Sized + std::io::Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> std::io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_value<W: ?Sized + std::io::Write>(
        &mut self,
        writer: &mut W,
    ) -> std::io::Result<()> {
        writer.write_all(b": ")
    }
}

fn raise(why: String) -> Result<Value, Error> {
    Err(Error::new(ErrorKind::InvalidOperation, why))
}

/// An error with its causes, on one line.
fn reason(error: &Error) -> String {
    let causes = std::iter::successors(std::error::Error::source(error), |cause| cause.source());
    std::iter::once(error.to_string())
        .chain(causes.map(ToString::to_string))
        .collect::<Vec<_>>()
        .join(": ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn messages() -> Vec<Message> {
        let message =
            |role: &str, content: &str| Message { role: role.into(), content: content.into() };
        vec![message("system", "Be kind."), message("user", "Fan to <30>!")]
    }

    fn rendered(text: &str) -> Result<String, String> {
        let tools = json!([{"type": "function", "function": {"name": "fan", "a": [1, "ä"]}}]);
        Template::new(text, "<s>", "</s>")?.render(&messages(), &tools, true)
    }

    #[test]
    fn tools_are_rendered_as_python_writes_json() {
        let text = "{{ bos_token }}{% for tool in tools %}\n{{ tool | tojson }}\n{% endfor %}\n";
        let fan = r#"{"type": "function", "function": {"name": "fan", "a": [1, "ä"]}}"#;
        assert_eq!(rendered(text), Ok(format!("<s>{fan}\n")));
        let indented = rendered("{{ tools[0].function.a | tojson(indent=2) }}");
        assert_eq!(indented, Ok("[\n  1,\n  \"ä\"\n]".to_owned()));
        let phi = rendered("{{ messages[0]['tools'] }}");
        assert_eq!(phi, Ok(r#"[{"name": "fan", "a": [1, "ä"]}]"#.to_owned()));
    }

    #[test]
    fn what_templates_do_in_python_they_can_do_here() {
        for (text, expected) in [
            ("{{ messages[::-1][0].content.split('<')[-1].strip('!') }}", "30>"),
            (
                "{% set ns = namespace(n=0) %}{% for m in messages %}{% set ns.n = ns.n + 1 %}{% endfor %}{{ ns.n }}",
                "2",
            ),
            ("{% if messages[1]['content'].startswith('Fan') %}yes{% endif %}", "yes"),
            ("{{ messages[0].get('role') ~ messages[0]['content'] | trim }}", "systemBe kind."),
            (
                "{% if tools is defined and tools is not none and not enable_thinking %}on{% endif %}",
                "on",
            ),
            ("{% if add_generation_prompt %}{{- '<assistant>\\n' }}{% endif %}", "<assistant>\n"),
            (
                "{% for m in messages %}{% if loop.last %}{% continue %}{% endif %}{{ m.role }}{% endfor %}",
                "system",
            ),
            ("{{ 'x' if undefined_thing is not defined else 'y' }}", "x"),
        ] {
            assert_eq!(rendered(text).as_deref(), Ok(expected), "{text}");
        }
        assert_eq!(rendered("{{ strftime_now('%Y') }}").as_deref(), Ok("2024"), "always the same");
        let thought = rendered("{{ 'x' }}<think>\n");
        assert_eq!(thought.as_deref(), Ok("x<think>\n\n</think>\n\n"), "is over at once");
    }

    #[test]
    fn a_template_that_does_not_show_tools_before_what_is_said_is_not_used() {
        let checked =
            |text: &str| Template::new(text, "", "").and_then(|template| template.check());
        let said = "{% for m in messages %}{{ m.content }}{% endfor %}";
        assert_eq!(checked(&format!("{{{{ tools | tojson }}}}{said}")), Ok(()));
        for (text, part) in [
            (said.to_owned(), "no tools"),
            (format!("{said}{{{{ tools | tojson }}}}"), "behind"),
            ("{{ raise_exception('no') }}".to_owned(), "no"),
        ] {
            let why = checked(&text).expect_err(&text);
            assert!(why.contains(part), "{why}");
        }
    }

    #[test]
    fn what_a_template_refuses_or_gets_wrong_is_told() {
        let why = rendered("{{ raise_exception('roles must alternate') }}").expect_err("it raises");
        assert!(why.contains("roles must alternate"), "{why}");
        assert!(rendered("{% if %}").is_err());
        let endless =
            "{% for i in range(9999) %}{% for j in range(9999) %}x{% endfor %}{% endfor %}";
        let why = rendered(endless).expect_err("it has no end");
        assert!(why.contains("fuel"), "{why}");
    }

    /// How the prompts of real models read with a tool: a template's name and the SHA-256 of what it renders.
    const RENDERED: &str = include_str!("../../../tests/dialects.sha256");

    /// The templates of real models, where somebody has them: `make dialects`.
    #[test]
    #[ignore = "it needs the templates of llama.cpp's source, which `make dialects` fetches"]
    fn the_templates_of_models_offer_the_tools_as_they_did() {
        let folder = std::env::var_os("AGENTD_TEST_TEMPLATES").expect("a folder of templates");
        let fan = json!({"name": "set_fan", "description": "speed of the fan", "kind": "note",
                         "params": {"percent": {"type": "integer", "min": 0, "max": 100}}});
        let tools = crate::model::native::declared(&[serde_json::from_value(fan).expect("a tool")]);
        let (mut seen, mut wrong) = (0, Vec::new());
        for entry in std::fs::read_dir(folder).expect("the folder").flatten() {
            let text = std::fs::read_to_string(entry.path()).expect("a template");
            let Some(way) = Native::of(&text) else { continue };
            let name = entry.file_name().to_string_lossy().into_owned();
            let template = Template::new(&text, "<s>", "</s>").expect(&name);
            let rendered = template.render(&messages(), &tools, true).expect(&name);
            println!("== {name}: {way:?}\n{rendered}");
            let [offered, asked] = ["speed of the fan", "Fan to <30>!"]
                .map(|part| rendered.find(part).unwrap_or_else(|| panic!("{name}: no {part}")));
            assert!(offered < asked, "{name}: the tools are the static part");
            let hash = crate::model::digest::of_reader(rendered.as_bytes(), |_| {}).expect("read");
            let line = format!("{hash}  {name}");
            seen += 1;
            if !RENDERED.lines().any(|known| known == line) {
                wrong.push(line);
            }
        }
        assert!(seen >= 8, "only {seen} templates were found");
        assert_eq!(
            wrong,
            Vec::<String>::new(),
            "they render otherwise than tests/dialects.sha256 says"
        );
    }
}
