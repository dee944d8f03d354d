// A page's parts come one after another, each as a grey bar first: shown at once they would push each other about. So the page
// is hidden until those of its first run stand; never for long, since a run may work for minutes, and sooner where it says so.
(() => {
  const PATIENCE = 5_000; // milliseconds with something to show
  const WITH_NEWS = 1_500; // where that tells what is being worked on
  const NEWS = "[data-testid='stSpinner'], [data-testid='stProgress'], [data-testid='stException']";
  const STILL = 2; // looks, one after another, that find all in place
  const LOOK = 50; // milliseconds between two
  const page = document.documentElement;
  let since = 0, still = 0;
  page.classList.add("lp-arriving");

  function stands() {
    const app = document.querySelector("[data-testid='stApp']");
    return app.getAttribute("data-test-script-state") === "notRunning" && !document.querySelector("[data-testid='stSkeleton']");
  }

  const timer = setInterval(() => {
    if (!document.querySelector("[data-testid='stSidebar']")) return; // the first answer of our own script
    since ||= performance.now();
    still = stands() ? still + 1 : 0;
    const patience = document.querySelector(NEWS) ? WITH_NEWS : PATIENCE;
    if (still < STILL && performance.now() - since < patience) return;
    clearInterval(timer);
    page.classList.remove("lp-arriving");
  }, LOOK);
})();
