//! The pages. They load nothing: no font, no picture, nothing of another host.

use std::fmt::Write as _;

use metahub_catalog::{Certainty, Collection, Entry};

use super::application::Application;
use crate::commands::html::{document, escape, heat_map, legend};

const STYLE: &str = include_str!("site.css");
/// Without the script, the whole list is shown, without the search field.
const SEARCH: &str = include_str!("search.js");

/// The file of an application's page.
pub(super) fn file_name(name: &str) -> String {
    format!("{}.html", name.replace('/', "_"))
}

/// The list of all applications.
pub(super) fn list(applications: &[Application<'_>]) -> String {
    let mut body = String::new();
    let tags: usize = applications.iter().map(|a| a.collections.len()).sum();
    // Writing to a String cannot fail.
    let _ = write!(
        body,
        "<h1>Catalog</h1>\n<p>{} applications with {tags} tags. A pull gives each machine the \
         image that fits its hardware best.</p>\n\
         <label class=\"search\" hidden>Search <input type=\"search\" autofocus></label>\n\
         <ul class=\"applications\">\n",
        applications.len(),
    );
    for application in applications {
        let about = application.about;
        let tags = application.collections.iter().map(|c| c.tag.as_str());
        let tags: Vec<&str> = tags.collect();
        let described = about.description.as_deref().unwrap_or_default();
        let words = [application.name, described, &about.keywords.join(" ")].join(" ");
        let _ = writeln!(
            body,
            "<li data-words=\"{}\"><a href=\"{}\">{}</a> <span>{}</span>\
             <small>{}</small></li>",
            escape(&words.to_lowercase()),
            escape(&file_name(application.name)),
            escape(application.name),
            escape(described),
            escape(&tags.join(", ")),
        );
    }
    let _ = write!(
        body,
        "</ul>\n<p class=\"nothing\" hidden>No application has all these words.</p>\n\
         <script>\n{SEARCH}</script>\n"
    );
    document("Catalog", STYLE, &body)
}

/// The page of one application.
pub(super) fn application(application: &Application<'_>, host: &str) -> String {
    let mut body = String::from("<nav><a href=\"index.html\">Catalog</a></nav>\n");
    let _ = writeln!(body, "<h1>{}</h1>", escape(application.name));
    about(&mut body, application);
    let _ = write!(
        body,
        "<h2>Pull it</h2>\n<pre>{}</pre>\n",
        escape(&lines(application, host))
    );
    body.push_str("<h2>Who gets what</h2>\n");
    legend(&mut body);
    heat_map(&mut body, &application.coverage);
    body.push_str("<h2>Images</h2>\n");
    for collection in &application.collections {
        tag(&mut body, collection);
    }
    document(application.name, STYLE, &body)
}

fn about(body: &mut String, application: &Application<'_>) {
    let about = application.about;
    if let Some(description) = &about.description {
        let _ = writeln!(body, "<p>{}</p>", escape(description));
    }
    body.push_str("<dl>\n");
    if let Some(homepage) = &about.homepage {
        let _ = writeln!(body, "<dt>Home page</dt><dd>{}</dd>", link(homepage));
    }
    if let Some(license) = &about.license {
        let _ = writeln!(body, "<dt>Licence</dt><dd>{}</dd>", escape(license));
    }
    if !about.keywords.is_empty() {
        let words = about.keywords.join(", ");
        let _ = writeln!(body, "<dt>Keywords</dt><dd>{}</dd>", escape(&words));
    }
    body.push_str("</dl>\n");
}

/// The commands to copy: the last tag with a build for some CPU target, for that target; otherwise
/// the last tag.
fn lines(application: &Application<'_>, host: &str) -> String {
    let target = |collection: &Collection| {
        let mut requires = collection.entries.iter().flat_map(|entry| &entry.requires);
        let target = requires.find_map(|feature| feature.target());
        target.map(|target| target.as_str().to_owned())
    };
    let mut last_first = application.collections.iter().rev();
    let built = last_first.find_map(|collection| Some((&collection.tag, target(collection)?)));
    let last = application.collections.last();
    let (tag, hardware) = match (built, last) {
        (Some((tag, target)), _) => (tag.as_str(), target),
        (None, last) => (last.map_or("latest", |c| c.tag.as_str()), "zen3".to_owned()),
    };
    format!(
        "docker login {host} -u {hardware} -p any\ndocker pull {host}/{}:{tag}\n",
        application.name
    )
}

fn tag(body: &mut String, collection: &Collection) {
    let _ = writeln!(
        body,
        "<h3>{}:{}</h3>",
        escape(collection.name.as_str()),
        escape(collection.tag.as_str())
    );
    if let Some(why) = &collection.about.no_generic {
        let _ = writeln!(
            body,
            "<p>No image runs on any machine: {}.</p>",
            escape(why)
        );
    }
    body.push_str(
        "<div class=\"table\"><table class=\"images\">\n<thead><tr><th scope=\"col\">image</th>\
         <th scope=\"col\">needs</th><th scope=\"col\">certainty</th>\
         <th scope=\"col\">documented</th></tr></thead>\n<tbody>\n",
    );
    for entry in &collection.entries {
        row(body, entry);
    }
    body.push_str("</tbody>\n</table></div>\n");
}

fn row(body: &mut String, entry: &Entry) {
    let mut needs: Vec<String> = Vec::new();
    if let Some(platform) = &entry.platform {
        needs.extend(platform.architecture.clone());
    }
    needs.extend(entry.requires.iter().map(ToString::to_string));
    if entry.about.fat {
        needs.push("chooses among its own builds when it starts".to_owned());
    }
    let certainty = match entry.about.certainty {
        Some(Certainty::High) => "high",
        Some(Certainty::Medium) => "medium",
        Some(Certainty::Low) => "low",
        None => "not said",
    };
    let moving = if entry.about.moving {
        ", the tag moves"
    } else {
        ""
    };
    let documented = entry.about.documented.as_deref();
    let _ = writeln!(
        body,
        "<tr><td><code>{}</code></td><td>{}</td><td>{certainty}{moving}</td><td>{}</td></tr>",
        escape(&entry.image.to_string()).replace('/', "/<wbr>"),
        escape(&needs.join(", ")),
        documented.map(link).unwrap_or_default()
    );
}

/// A link to a URL, which documents hold to `http://` and `https://`.
fn link(url: &str) -> String {
    let shown = url.split_once("://").map_or(url, |(_, rest)| rest);
    format!(
        "<a href=\"{}\">{}</a>",
        escape(url),
        escape(shown.trim_end_matches('/'))
    )
}
