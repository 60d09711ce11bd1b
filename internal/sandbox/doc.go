// Package sandbox is everything around the service that a company would have: a
// Google Cloud (package sandbox/google), a mail server with an inbox for each
// person, and a front that signs people in as Identity-Aware Proxy does. All of it
// is on loopback and in memory, and is gone when the process ends.
//
// It imports nothing of the product. The service is handed in as an http.Handler
// and gets to know its surroundings as it does in production: from environment
// variables, the metadata server and HTTP.
package sandbox
