// What a page looks like, measured in the page. Each function returns a list of complaints, as text.

"use strict";

window.print = () => {}; // print.html opens the print dialog by itself

const measure = {
    // What may be wider than the page: it scrolls by itself, or is cut on purpose.
    scrollers: "pre, pre code, .table-wrapper, .content p:has(img), .menu-title",

    // Ids, links and images. Folded text is unfolded, for all that is measured later.
    inventory() {
        document.querySelectorAll("details").forEach((details) => (details.open = true));
        const attribute = (name) => (element) => element.getAttribute(name);
        const all = (selector) => Array.from(document.querySelectorAll(selector));
        return {
            ids: all("[id]").map(attribute("id")),
            links: all("a[href]").map((link) => link.href),
            images: all("img").map((image) => ({
                source: image.getAttribute("src"),
                alt: image.getAttribute("alt") || "",
                shown: image.complete && image.naturalWidth > 0,
            })),
        };
    },

    // Whether the page, or something in it that shouldn't, scrolls sideways.
    sideways() {
        const complaints = [];
        const width = document.documentElement.clientWidth;
        for (const element of document.querySelectorAll("html, body, body *")) {
            if (!element.checkVisibility() || element.matches(this.scrollers)) continue;
            const style = getComputedStyle(element);
            const root = element === document.documentElement || element === document.body;
            if (style.overflowX === "visible" && !root) continue;
            const excess = element.scrollWidth - (root ? width : element.clientWidth);
            if (excess > 1 && element.clientWidth > 1) {
                complaints.push(`${this.name(element)} is ${excess}px too wide`);
            }
        }
        return complaints;
    },

    // Text and icons whose contrast is below WCAG 2.2, AA: 4.5 to 1, and 3 to 1 for large text
    // and icons. On paper there are no backgrounds: a browser leaves them out.
    contrast(paper) {
        document.getAnimations().forEach((animation) => animation.finish());
        this.known = new Map();
        const complaints = new Map();
        const judge = (element, pseudo) => {
            if (!this.seen(element)) return;
            const said = this.too_faint(element, getComputedStyle(element, pseudo), paper);
            // One of a kind is enough.
            if (said && !complaints.has(said)) complaints.set(said, `${this.name(element)}: ${said}`);
        };
        const texts = new Set();
        const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
        while (walker.nextNode()) {
            if (/\S/.test(walker.currentNode.data)) texts.add(walker.currentNode.parentElement);
        }
        texts.forEach((element) => judge(element));
        document.querySelectorAll("button svg, label svg, a svg").forEach((icon) => judge(icon));
        document.querySelectorAll("input[placeholder]").forEach((field) => judge(field, "::placeholder"));
        return Array.from(complaints.values());
    },

    seen(element) {
        const box = element.getBoundingClientRect();
        const visible = element.checkVisibility({ visibilityProperty: true, opacityProperty: true });
        return visible && box.width > 1 && box.height > 1;
    },

    // A complaint if what is written in this style is too faint where the element stands.
    too_faint(element, style, paper) {
        const behind = this.behind(element);
        if (behind.image) return "an image behind text";
        const ground = paper ? [255, 255, 255, 1] : behind.colour;
        const ink = this.colour(style.color);
        const ratio = this.ratio(this.over([...ink.slice(0, 3), ink[3] * behind.opacity], ground), ground);
        const size = parseFloat(style.fontSize);
        const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
        const least = large || element instanceof SVGElement ? 3 : 4.5;
        if (ratio >= least) return null;
        const rgb = ground.slice(0, 3).map(Math.round).join(", ");
        return `${style.color} on rgb(${rgb}) is ${ratio.toFixed(2)} to 1`;
    },

    // What lies behind an element: the colours of its ancestors, one over the other, and how
    // strongly they let it show.
    behind(element) {
        if (!element) return { colour: [255, 255, 255, 1], opacity: 1, image: false };
        let known = this.known.get(element);
        if (!known) {
            const style = getComputedStyle(element);
            const below = this.behind(element.parentElement);
            const own = this.colour(style.backgroundColor);
            known = {
                colour: this.over(own, below.colour),
                opacity: below.opacity * Number(style.opacity),
                image: style.backgroundImage !== "none" || (below.image && own[3] < 1),
            };
            this.known.set(element, known);
        }
        return known;
    },

    colour(text) {
        const found = text.match(/^rgba?\((.*)\)$/);
        if (!found) throw new Error(`what colour is ${text}?`);
        const numbers = found[1].split(/[\s,/]+/).map(Number);
        return numbers.length === 3 ? [...numbers, 1] : numbers;
    },

    over(top, below) {
        const mix = (channel) => top[channel] * top[3] + below[channel] * (1 - top[3]);
        return [mix(0), mix(1), mix(2), 1];
    },

    // WCAG 2.2, "contrast ratio" and "relative luminance".
    ratio(one, other) {
        const linear = (value) => {
            const part = value / 255;
            return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
        };
        const light = (c) => 0.2126 * linear(c[0]) + 0.7152 * linear(c[1]) + 0.0722 * linear(c[2]);
        const [dark, bright] = [light(one), light(other)].sort((a, b) => a - b);
        return (bright + 0.05) / (dark + 0.05);
    },

    // What is of no use on paper must not be on it; what is folded must be open.
    printed() {
        const complaints = [];
        for (const selector of ["#mdbook-sidebar", "#mdbook-menu-bar", ".nav-chapters", ".mobile-nav-chapters", ".buttons"]) {
            for (const element of document.querySelectorAll(selector)) {
                if (this.seen(element)) complaints.push(`${selector} is printed`);
            }
        }
        for (const details of document.querySelectorAll("details")) {
            details.open = false;
            if (details.offsetHeight <= details.firstElementChild.offsetHeight + 10) complaints.push(`${this.name(details)} is printed folded`);
            details.open = true;
        }
        const main = document.querySelector("main").getBoundingClientRect();
        const width = document.documentElement.clientWidth;
        if (main.width < width * 0.9) complaints.push(`the text is ${Math.round(main.width)}px wide, of ${width}px`);
        return complaints;
    },

    // Resolves when the search field takes what is typed.
    search_is_ready() {
        return this.until(() => document.activeElement.id === "mdbook-searchbar", "the search field");
    },

    // Where the results of the search lead, once there are some.
    async search_results() {
        const links = () => Array.from(document.querySelectorAll("#mdbook-searchresults a"));
        await this.until(() => links().length > 0, "results");
        return links().map((link) => link.href);
    },

    // Looks at every change of the page.
    until(there, what) {
        return new Promise((resolve, reject) => {
            const look = () => there() && resolve(true);
            for (const event of ["focusin", "input", "keyup"]) document.addEventListener(event, look);
            new MutationObserver(look).observe(document, { subtree: true, childList: true, attributes: true });
            setTimeout(() => reject(new Error(`waited for ${what}`)), 25000);
            look();
        });
    },

    name(element) {
        const text = element.textContent.trim().replace(/\s+/g, " ").slice(0, 30);
        const kind = element.getAttribute("class");
        return `<${element.localName}${kind ? ` class="${kind}"` : ""}> "${text}"`;
    },

    // A diagram by itself: small text, text over text, text that leaves the picture or its box,
    // text too faint for the shape behind it. Lengths are those of the viewBox.
    diagram() {
        const complaints = [];
        const svg = document.documentElement;
        const view = svg.viewBox.baseVal;
        const texts = Array.from(svg.querySelectorAll("text")).filter((text) => /\S/.test(text.textContent));
        const boxes = texts.map((text) => this.box(text, svg));
        const rects = Array.from(svg.querySelectorAll("rect")).map((rect) => this.box(rect, svg));
        texts.forEach((text, index) => {
            const box = boxes[index];
            const say = (what) => complaints.push(`"${text.textContent.trim().slice(0, 40)}" ${what}`);
            const style = getComputedStyle(text);
            if (parseFloat(style.fontSize) < 13) say(`has ${style.fontSize}: at least 13px`);
            if (box.left < view.x || box.top < view.y || box.right > view.x + view.width || box.bottom > view.y + view.height) {
                say("leaves the picture");
            }
            boxes.slice(index + 1).forEach((other, further) => {
                const wide = Math.min(box.right, other.right) - Math.max(box.left, other.left);
                // A line's box is higher than its letters: half of it is what may overlap.
                const high = Math.min(box.bottom, other.bottom) - Math.max(box.top, other.top);
                const least = Math.min(box.bottom - box.top, other.bottom - other.top) / 2;
                if (wide > 1 && high > least) {
                    say(`lies over "${texts[index + 1 + further].textContent.trim().slice(0, 40)}"`);
                }
            });
            const anchored = { start: box.left + 2, middle: (box.left + box.right) / 2, end: box.right - 2 };
            const [x, y] = [anchored[style.textAnchor], (box.top + box.bottom) / 2];
            const around = rects.filter((r) => r.left < x && x < r.right && r.top < y && y < r.bottom);
            const area = (r) => (r.right - r.left) * (r.bottom - r.top);
            const home = around.sort((a, b) => area(a) - area(b))[0];
            if (home && (box.left < home.left || box.right > home.right)) say("leaves its box");
            const faint = this.faint_in_diagram(text);
            if (faint) say(faint);
        });
        if (getComputedStyle(svg).display === "none" || view.width === 0) complaints.push("has no viewBox");
        return complaints;
    },

    // Where an element lies, in the viewBox's units.
    box(element, svg) {
        const back = svg.getScreenCTM().inverse();
        const box = element.getBoundingClientRect();
        const [from, to] = [new DOMPoint(box.left, box.top), new DOMPoint(box.right, box.bottom)];
        const [start, end] = [from.matrixTransform(back), to.matrixTransform(back)];
        return { left: start.x, top: start.y, right: end.x, bottom: end.y };
    },

    faint_in_diagram(text) {
        const box = text.getBoundingClientRect();
        const stack = document.elementsFromPoint((box.left + box.right) / 2, (box.top + box.bottom) / 2);
        const filled = (shape) => {
            const fill = getComputedStyle(shape).fill;
            return fill === "none" ? null : this.colour(fill);
        };
        const behind = stack.filter((shape) => !shape.closest("text") && shape instanceof SVGGeometryElement);
        const layers = behind.map((shape) => [shape, filled(shape)]).filter(([, fill]) => fill);
        const ground = layers.reduceRight((below, [shape, fill]) => {
            const style = getComputedStyle(shape);
            const strength = fill[3] * Number(style.fillOpacity) * Number(style.opacity);
            return this.over([fill[0], fill[1], fill[2], strength], below);
        }, [255, 255, 255, 1]);
        const ink = filled(text);
        if (ink === null) return "has no colour";
        const ratio = this.ratio(this.over(ink, ground), ground);
        return ratio < 4.5 ? `has a contrast of ${ratio.toFixed(2)} to 1` : null;
    },
};
