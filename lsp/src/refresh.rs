//! What the server says unasked beside diagnostics: that what is shown is old, and that something of ours went wrong.

use crate::lsp;
use crate::root::Root;
use crate::server::{Asked, Server};

impl Server {
    /// Has the client ask again for what it shows of texts that were not edited: after files have changed beside it, and
    /// after a plan.
    pub(crate) fn shows_again(&mut self, files: bool, plan: bool) {
        if (files || plan) && self.client.refresh_lenses {
            self.view::<lsp::CodeLensRefreshRequest>();
        }
        // A plan pins sources, which hints show.
        if (files || plan) && self.client.refresh_hints {
            self.view::<lsp::InlayHintRefreshRequest>();
        }
        if files && self.client.refresh_tokens {
            self.view::<lsp::SemanticTokensRefreshRequest>();
        }
    }

    /// Asks one thing of a client that has not been asked it already.
    fn view<R: lsp::Request<Params = ()>>(&mut self) {
        let method = R::METHOD.as_str().to_owned();
        let waiting = self.asked.values().any(|asked| matches!(asked, Asked::View(other) if *other == method));
        if !waiting {
            self.ask::<R>((), Asked::View(method));
        }
    }

    /// Tells the user that a package cannot be looked at, once; the log has each.
    pub(crate) fn complain(&mut self, root: &Root, panic: &str) {
        let package = root.shown();
        self.progress_ends(root);
        tracing::error!("`{package}` could not be looked at: {panic}");
        if std::mem::replace(&mut self.has_complained, true) {
            return;
        }
        let message = format!(
            "imgc: internal error: {panic}. What is wrong with `{package}` is not shown until its text is another; please \
             report it with the text that led to it."
        );
        let params = lsp::ShowMessageParams { kind: lsp::MessageType::Error, message };
        self.tell::<lsp::ShowMessageNotification>(params);
    }
}
