// Package browser drives a headless Chromium in tests, over the WebDriver protocol (W3C Recommendation "WebDriver", June 2018)
// that ChromeDriver speaks. It opens pages, runs JavaScript in them, waits for what they become, and takes pictures.
//
// It is for pages of this computer: the browser runs without its own sandbox, and with nothing that looks for a network.
package browser
