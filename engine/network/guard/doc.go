// Package guard is a gate in front of the web apps of one person on a machine that several people use. A port on 127.0.0.1
// is open to everybody who is logged in; the gate lets in only a browser that has come by a link with a one-time code, as
// Jupyter's token does for Jupyter, and then shows a cookie (RFC 6265). What is let in passes as it is: web sockets, event
// streams, uploads of any size.
//
//	http://127.0.0.1:8888/lab?carrel=CODE   → 303, Set-Cookie: carrel-gate-…; the code is spent, Changed is called
//	http://127.0.0.1:8888/lab + cookie      → the app, without that cookie
//	anything else                           → 403 and a page that says how to get in
//
// A cookie and a code can be stolen, or sent by the browser to somebody else's port of the same machine: cookies do not
// know of ports. So a connection that a process of another person holds is refused whatever it brings (the kernel tells
// whose it is, netns.Owner), and requests that a page of another origin has made are refused as well.
//
// What is not HTTP in the clear cannot be asked for a cookie. There only the first of these is looked at: the owner of the
// client's socket. A connection from this machine whose owner the kernel does not tell, because its client has closed it
// already, is refused.
package guard
