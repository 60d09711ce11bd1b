package main

import (
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"

	"jitaccess/internal/ledger/firestore"
	"jitaccess/internal/ledger/firestoretest"
)

// firestoreProject is whose the databases of tests are.
const firestoreProject = "acme-ledger"

// documents is a database in Google's emulator of Firestore, which stands among the sandbox's
// APIs: the service reaches it as it reaches Google, with its token.
type documents struct {
	t        testing.TB
	endpoint string
	// address is DATABASE_URL.
	address, name string
	// before sees each call, and may answer it; nil answers none.
	before func(w http.ResponseWriter, r *http.Request) bool
}

func newDocuments(t testing.TB) *documents {
	t.Helper()
	endpoint, name := firestoretest.Emulator(t)
	return &documents{t: t, endpoint: endpoint, name: name, address: "firestore:" + firestoreProject + "/" + name}
}

// open opens the database past the service.
func (d *documents) open() *firestore.Database {
	return firestore.New(firestore.Config{Client: http.DefaultClient, Endpoint: d.endpoint, Project: firestoreProject, Database: d.name})
}

// among has the emulator answer what is Firestore's.
func (d *documents) among(next http.Handler) http.Handler {
	emulator, err := url.Parse(d.endpoint)
	if err != nil {
		d.t.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(emulator)
		if strings.HasPrefix(r.In.Header.Get("Authorization"), "Bearer ") {
			r.Out.Header.Set("Authorization", "Bearer owner") // the emulator's word for the service account
		} else {
			r.Out.Header.Set("Authorization", "Bearer nobody")
		}
	}}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.URL.Path, "/v1/projects/"+firestoreProject+"/databases/") {
			next.ServeHTTP(w, r)
		} else if d.before == nil || !d.before(w, r) {
			proxy.ServeHTTP(w, r)
		}
	})
}
