// What the page is made of. Text from elsewhere only ever becomes text.

export function at(id) {
  return document.getElementById(id);
}

/** An element with a class and children, which are elements or text. */
export function make(tag, className = "", ...children) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.append(...children);
  return element;
}

/** Set a text only where it differs, so that nothing is read out twice. */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export function press(button, pressed) {
  button.setAttribute("aria-pressed", String(pressed));
}

/** What is remembered in this browser; null where storage is forbidden or empty. */
export function recall(name) {
  try {
    return localStorage.getItem(`candlekeep.${name}`);
  } catch {
    return null;
  }
}

export function remember(name, value) {
  try {
    localStorage.setItem(`candlekeep.${name}`, value);
  } catch {
    // Then it is forgotten with the page.
  }
}
