// The string that Streamlit turns into a module: it fetches the viewer proper from the app's own route.
// Streamlit calls the default export once for every change of data, in order, and the last returned function on unmount.
const script = document.querySelector('script[src*="static/js/index"]');
const base = script ? script.src.slice(0, script.src.lastIndexOf("static/js/index")) : new URL(".", document.baseURI).href;
const loaded = import(`${base}viewer/__VERSION__/__MODULE__.js`);

export default function (component) {
  const mounted = loaded.then((module) => module.mount(component, base));
  mounted.catch((error) => {
    const note = document.createElement("p");
    note.textContent = `The viewer could not be loaded: ${error.message}`;
    component.parentElement.append(note);
  });
  return () => mounted.then((unmount) => unmount());
}
