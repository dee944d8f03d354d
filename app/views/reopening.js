// An answer for a part of a page that has gone meanwhile ends Streamlit's script: the page stays white or deaf from then on. All
// that is shown is in the address, so it is opened anew; not again and again, where that does not help.
const BROKEN = /Cannot set a node at a delta path|Bad 'setIn' index/;
const REOPENED = "loupe-reopened";
const APART = 30_000; // milliseconds between two attempts

function reopen({ message, reason }) {
  if (!BROKEN.test(message ?? String(reason?.message ?? reason))) return;
  try {
    if (Date.now() - Number(sessionStorage.getItem(REOPENED)) < APART) return;
    sessionStorage.setItem(REOPENED, String(Date.now()));
  } catch { return; } // what cannot be counted is not begun
  location.reload();
}

if (!window.loupeReopens) {
  window.loupeReopens = true;
  addEventListener("error", reopen);
  addEventListener("unhandledrejection", reopen);
}
