//! `metahub resolve IMAGE --as A --as B`: what each login gets, or with `--common` the best single
//! image that all of them can run, as MPI jobs over unlike nodes need it.
//!
//! The common image is the one for a login that provides no more than each of the logins does, and
//! it counts only where each of them could have got it: so it is read and judged like every image
//! that is served, and an image that one login's filters or weights leave out is not chosen.

use metahub_operations::{CommonLogin, objection, served};
use metahub_registry::Resolution;
use miette::miette;
use serde_json::{Value, json};

use crate::args::Format;
use crate::commands::resolve::{Answer, Asking, ResolveArgs, by_digest, reference, warn};
use crate::exit::Exit;
use crate::output;

/// A login and what it gets.
type Got<'a> = (&'a str, Answer);

pub(crate) async fn run(args: &ResolveArgs) -> miette::Result<Exit> {
    let asking = Asking::new(args)?;
    let logins = &asking.args.logins;
    if logins.is_empty() {
        return Err(miette!(
            help = "name the login of each kind of node: --as zen3 --as cascadelake",
            "--common needs logins"
        ));
    }
    if asking.args.explain {
        return Err(miette!(
            help = "ask for each login by itself, or for --format json",
            "--explain tells of one login"
        ));
    }
    let mut got: Vec<Got<'_>> = Vec::with_capacity(logins.len());
    for login in logins {
        if got.iter().any(|(known, _)| known == login) {
            continue;
        }
        let answer = asking.answer(Some(login)).await;
        got.push((login, answer.map_err(|error| error.wrap_err(of(login)))?));
    }
    if asking.args.common {
        return common(&asking, &got).await;
    }
    match asking.args.format {
        Format::Json => output::json(&json!({
            "image": asking.args.image,
            "logins": listed(&asking, &got),
        }))?,
        Format::Text => each(&asking, &got)?,
    }
    let all_fit = got
        .iter()
        .all(|(_, answer)| matches!(answer, Answer::Image(_)));
    Ok(if all_fit { Exit::Ok } else { Exit::NothingFits })
}

fn of(login: &str) -> String {
    format!("for the login '{login}'")
}

/// A table of what each gets.
fn each(asking: &Asking<'_>, got: &[Got<'_>]) -> miette::Result<()> {
    let mut table = output::table(&["LOGIN", "REQUIRES", "IMAGE", "WHY"]);
    for (login, answer) in got {
        let [requires, image, why] = match answer {
            Answer::Image(found) => [
                match &found.requires[..] {
                    [] => "nothing".to_owned(),
                    requires => requires.join(", "),
                },
                reference(asking.args, found),
                found.why.clone(),
            ],
            Answer::Nothing { message, .. } => ["-".to_owned(), "none".to_owned(), message.clone()],
        };
        table.add_row([login.to_string(), requires, image, why]);
    }
    output::print_table(&mut table)?;
    for (login, answer) in got {
        if let Answer::Image(found) = answer {
            for warning in found.warning.iter().chain(&found.remarks) {
                anstream::eprintln!("warning: {login}: {warning}");
            }
        }
    }
    Ok(())
}

/// The same for programs.
fn listed(asking: &Asking<'_>, got: &[Got<'_>]) -> Vec<Value> {
    got.iter()
        .map(|(login, answer)| match answer {
            Answer::Image(found) => json!({
                "login": login,
                "reference": reference(asking.args, found),
                "digest": found.digest,
                "manifest": found.manifest,
                "platform": found.platform,
                "provides": found.provides,
                "requires": found.requires,
                "why": found.why,
            }),
            Answer::Nothing { message, detail } => json!({
                "login": login,
                "reason": detail.reason,
                "message": message,
                "wanted": detail.wanted,
                "existing": detail.existing,
            }),
        })
        .collect()
}

/// The best image that all can run.
async fn common(asking: &Asking<'_>, got: &[Got<'_>]) -> miette::Result<Exit> {
    let mut reasons: Vec<(&str, String)> = Vec::new();
    let mut images: Vec<(&str, &Resolution)> = Vec::new();
    for (login, answer) in got {
        match answer {
            Answer::Image(found) => images.push((login, found)),
            Answer::Nothing { message, .. } => reasons.push((login, message.clone())),
        }
    }
    if !reasons.is_empty() {
        return none(asking, got, &reasons);
    }
    let Some((_, first)) = images.first() else {
        return Ok(Exit::NothingFits);
    };
    if images
        .iter()
        .all(|(_, found)| found.manifest == first.manifest)
    {
        return found(asking, got, first);
    }
    let provided: Vec<(&str, &[String])> = images
        .iter()
        .map(|(login, found)| (*login, &found.provides[..]))
        .collect();
    let graph = asking.args.local.graph()?;
    let Some(shared) = CommonLogin::of(&graph, &provided) else {
        let reasons: Vec<(&str, String)> = provided
            .iter()
            .map(|(login, provides)| (*login, told(provides)))
            .collect();
        return none(asking, got, &reasons);
    };
    let mut why = None;
    for login in &shared.logins {
        match asking.answer(Some(login)).await {
            // A profile that provides more than all of the logins do cannot be used here.
            Ok(Answer::Image(found)) if !shared.covers(&found.provides) => {}
            Ok(Answer::Image(best)) => {
                let reasons: Vec<(&str, String)> = images
                    .iter()
                    .filter_map(|(login, of)| Some((*login, objection(of, served(&best))?)))
                    .collect();
                if reasons.is_empty() {
                    return found(asking, got, &best);
                }
                why = Some(reasons);
            }
            Ok(Answer::Nothing { .. }) => {}
            Err(error) if login == shared.logins.last().unwrap_or(login) => {
                return Err(error.wrap_err(of(login)));
            }
            Err(_) => {}
        }
    }
    let reasons = why.unwrap_or_else(|| {
        let told = |(login, found): &(_, &Resolution)| (*login, found.why.clone());
        images.iter().map(told).collect()
    });
    none(asking, got, &reasons)
}

/// What a login provides, for people.
fn told(provides: &[String]) -> String {
    match provides {
        [] => "names no hardware".to_owned(),
        provides => format!("provides {}", provides.join(", ")),
    }
}

fn found(asking: &Asking<'_>, got: &[Got<'_>], best: &Resolution) -> miette::Result<Exit> {
    let reference = by_digest(&asking.args.image, &best.manifest);
    match asking.args.format {
        Format::Json => output::json(&json!({
            "image": asking.args.image,
            "common": {
                "reference": reference,
                "manifest": best.manifest,
                "platform": best.platform,
                "requires": best.requires,
                "why": best.why,
            },
            "logins": listed(asking, got),
        }))?,
        Format::Text => {
            output::line(reference)?;
            warn(best);
        }
    }
    Ok(Exit::Ok)
}

fn none(asking: &Asking<'_>, got: &[Got<'_>], reasons: &[(&str, String)]) -> miette::Result<Exit> {
    let image = &asking.args.image;
    if asking.args.format == Format::Json {
        let reasons: Vec<Value> = reasons
            .iter()
            .map(|(login, reason)| json!({"login": login, "reason": reason}))
            .collect();
        output::json(&json!({
            "image": image,
            "common": null,
            "reasons": reasons,
            "logins": listed(asking, got),
        }))?;
    }
    anstream::eprintln!("no image of {image} is one that all of these logins can run:");
    for (login, reason) in reasons {
        anstream::eprintln!("  {login}: {reason}");
    }
    Ok(Exit::NothingFits)
}
