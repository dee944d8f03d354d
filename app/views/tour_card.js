// The tour's strip: a step's card, or the way into the tour. What a first visit is offered is remembered by the browser alone.
const MARK = "loupe-tour";
let met = false; // where the browser keeps nothing, for as long as this page lives

function wasMet() {
  try { return met || localStorage.getItem(MARK) !== null; } catch { return met; }
}

function meet() {
  met = true;
  try { localStorage.setItem(MARK, "met"); } catch { /* it will be offered again */ }
}

function element(tag, properties, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

export default function ({ data, parentElement, setTriggerValue }) {
  const { step, links } = data;
  const root = parentElement.querySelector("section") ?? parentElement.appendChild(element("section"));
  const had = root.getRootNode().activeElement?.dataset?.act; // the keyboard stays where it was

  // A true link, for a new tab and for copying; a plain click changes the page without loading everything anew.
  const way = (act, text, href) => {
    const made = element("a", { href, textContent: text });
    made.dataset.act = act;
    made.onclick = (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
      event.preventDefault();
      meet();
      // As the browser's Forward does: one entry of the history, and the app runs what the address says.
      history.pushState(null, "", href);
      dispatchEvent(new PopStateEvent("popstate"));
    };
    return made;
  };
  const button = (act, text, onclick) => {
    const made = element("button", { type: "button", textContent: text, onclick });
    made.dataset.act = act;
    return made;
  };

  const draw = () => {
    if (step) {
      meet();
      root.className = "card";
      root.setAttribute("aria-label", "Guided tour");
      const ways = element("nav", { ariaLabel: "Steps of the tour" });
      ways.append(
        links.back ? way("back", "Back", links.back) : element("span", { textContent: "Back", ariaHidden: "true" }),
        ...(links.next ? [way("next", "Next", links.next)] : []),
        button("end", "End tour", () => setTriggerValue("ended", true)),
      );
      const where = element("small", { textContent: `step ${step.number} of ${step.count}` });
      let said = root.querySelector("p[role=status]"); // kept: what changes in it is read out
      if (!said) said = element("p", { role: "status" });
      said.replaceChildren(where, element("b", { textContent: step.title }), ` ${step.said}`);
      root.replaceChildren(said, ways);
    } else {
      root.className = "way";
      root.setAttribute("aria-label", wasMet() ? "Tour" : "Invitation to the tour");
      const first = !wasMet() && links.first;
      root.replaceChildren(...(links.first ? [way("next", first ? "First time here? A two-minute tour" : "Tour", links.first)] : []));
      if (first) root.append(button("dismiss", "Dismiss", () => { meet(); draw(); root.querySelector("a").focus(); }));
    }
  };
  draw();
  if (had) (root.querySelector(`[data-act="${had}"]`) ?? root.querySelector("[data-act=end], a"))?.focus();
}
