//! Lists that an upstream serves in pages, joined by `Link` headers (RFC 8288), as the distribution
//! specification defines it for tags and referrers.

use metahub_client::next_page;

use crate::ask::{Ask, Whole};
use crate::error::{Problem, UpstreamError};
use crate::upstream::Upstream;

/// Pages followed at most, and bytes of one page: a list that never ends must end here.
const MAX_PAGES: usize = 1000;
const MAX_PAGE_BYTES: usize = 16 * 1024 * 1024;

impl Upstream {
    /// Passes all pages of a list to `each`, which returns whether to continue. False if the list
    /// does not exist (404).
    pub(crate) async fn pages(
        &self,
        mut ask: Ask,
        mut each: impl FnMut(Whole) -> Result<bool, Problem> + Send,
    ) -> Result<bool, UpstreamError> {
        for number in 0..MAX_PAGES {
            let Some(page) = self.ask_whole(&ask, "a page", MAX_PAGE_BYTES).await? else {
                return Ok(number > 0);
            };
            let next = next_page(&page.headers).and_then(|target| ask.url.join(target).ok());
            let go_on = each(page).map_err(|problem| self.error(problem))?;
            match next {
                Some(next) if go_on && next != ask.url => {
                    if !self.shared.connections.is_home(&next) {
                        let why = "names a next page on another host, which is not asked";
                        return Err(self.error(Problem::Refused(why.to_owned())));
                    }
                    ask.url = next;
                }
                _ => return Ok(true),
            }
        }
        let why = format!("a list of more than {MAX_PAGES} pages");
        Err(self.error(Problem::BadAnswer(why)))
    }
}
