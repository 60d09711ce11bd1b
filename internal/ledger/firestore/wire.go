package firestore

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	mathrand "math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"jitaccess/internal/ledger"
	"jitaccess/internal/outbound"
)

// What is sent and read, as far as it is used here:
// https://cloud.google.com/firestore/docs/reference/rest/v1/projects.databases.documents

// value is one of a field. Exactly one member is set, or none, which is null. Those that we do not
// write stand by hand, and are where a query goes on (query.place).
type value struct {
	Boolean   *bool      `json:"booleanValue,omitempty"`
	Integer   *string    `json:"integerValue,omitempty"`
	Double    any        `json:"doubleValue,omitempty"` // it may be "NaN"
	Timestamp *time.Time `json:"timestampValue,omitempty"`
	String    *string    `json:"stringValue,omitempty"`
	Bytes     *[]byte    `json:"bytesValue,omitempty"`
	Reference string     `json:"referenceValue,omitempty"`
	GeoPoint  any        `json:"geoPointValue,omitempty"`
	Array     *array     `json:"arrayValue,omitempty"`
	Map       *mapping   `json:"mapValue,omitempty"`
}

type array struct {
	Values []value `json:"values,omitempty"`
}

type mapping struct {
	Fields fields `json:"fields,omitempty"`
}

type fields map[string]value

func text[T ~string](t T) value {
	s := string(t)
	return value{String: &s}
}
func integer[T ~int | ~int64](n T) value {
	s := strconv.FormatInt(int64(n), 10)
	return value{Integer: &s}
}
func binary(b []byte) value {
	if b == nil {
		b = []byte{}
	}
	return value{Bytes: &b}
}
func list(values []value) value { return value{Array: &array{values}} }
func object(f fields) value     { return value{Map: &mapping{f}} }

func truth(is bool) value { return value{Boolean: &is} }

var null = value{}

// MarshalJSON writes nullValue as the interface wants it, which has no other form.
func (v value) MarshalJSON() ([]byte, error) {
	type plain value
	encoded, err := json.Marshal(plain(v))
	if string(encoded) == "{}" {
		return []byte(`{"nullValue":null}`), err
	}
	return encoded, err
}

// What fields have. Whoever writes the database may have put anything into any of them: what
// is of another type reads as nothing, so that one document keeps no other from being read.

func (v value) text() string {
	if v.String == nil {
		return ""
	}
	return *v.String
}

func (v value) bytes() []byte {
	if v.Bytes == nil {
		return nil
	}
	return *v.Bytes
}

func (v value) number() int64 {
	if v.Integer != nil {
		n, _ := strconv.ParseInt(*v.Integer, 10, 64)
		return n
	}
	switch f, _ := v.Double.(float64); { // in an order of numbers it is among them
	case f >= math.MaxInt64:
		return math.MaxInt64
	case f <= math.MinInt64:
		return math.MinInt64
	default:
		return int64(math.Floor(f))
	}
}

func (v value) values() []value {
	if v.Array == nil {
		return nil
	}
	return v.Array.Values
}

func (v value) fields() fields {
	if v.Map == nil {
		return nil
	}
	return v.Map.Fields
}

type document struct {
	Name   string `json:"name"`
	Fields fields `json:"fields,omitempty"`
	// UpdateTime is which version of the document it is; server time.
	UpdateTime string `json:"updateTime,omitempty"`
	// readAt is when it was read, by the service's clock.
	readAt time.Time
}

// id is by what we know the document.
func (d document) id() string {
	last := d.Name[strings.LastIndexByte(d.Name, '/')+1:]
	if id, err := url.PathUnescape(strings.TrimPrefix(last, idMark)); err == nil {
		return id
	}
	return last
}

// idMark begins the id of each document: empty ids, and those with __ around them, may not be.
// behindMarked is behind all that it begins, and before what begins with a letter or a digit.
const (
	idMark       = "-"
	behindMarked = "-~"
)

// named is the id of a document of ours: a text of which a prefix has a prefix.
// https://cloud.google.com/firestore/quotas#collections_documents_and_fields
func named(id string) string {
	const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_@"
	var b strings.Builder
	b.WriteString(idMark)
	for i := range len(id) {
		if strings.IndexByte(plain, id[i]) >= 0 {
			b.WriteByte(id[i])
		} else {
			fmt.Fprintf(&b, "%%%02X", id[i])
		}
	}
	return b.String()
}

func (d *Database) path(collection, id string) string {
	return d.documents + "/" + collection + "/" + named(id)
}

// write is one of a commit.
type write struct {
	Update     *document    `json:"update,omitempty"`
	Delete     string       `json:"delete,omitempty"`
	Mask       *mask        `json:"updateMask,omitempty"`
	Transforms []transform  `json:"updateTransforms,omitempty"`
	Only       precondition `json:"currentDocument,omitzero"`
}

type mask struct {
	Paths []string `json:"fieldPaths"`
}

type transform struct {
	Path string `json:"fieldPath"`
	To   string `json:"setToServerValue"`
}

// precondition is what must hold of a document for it, and all with it, to be written. A document
// that is there is followed by its time.
type precondition struct {
	Exists     *bool  `json:"exists,omitempty"`
	UpdateTime string `json:"updateTime,omitempty"`
}

// create writes a document that must not be there yet.
func (d *Database) create(collection, id string, f fields) write {
	return write{Update: &document{Name: d.path(collection, id), Fields: f}, Only: precondition{Exists: new(bool)}}
}

// follow changes some fields of a document, which must be as it was read: those in f, and
// those that are named beside go.
func (d *Database) follow(on document, f fields, gone ...string) write {
	paths := slices.Concat(slices.Sorted(maps.Keys(f)), gone)
	return write{Update: &document{Name: on.Name, Fields: f}, Mask: &mask{paths}, Only: precondition{UpdateTime: on.UpdateTime}}
}

// remove deletes a document, which must be as it was read.
func remove(on document) write {
	return write{Delete: on.Name, Only: precondition{UpdateTime: on.UpdateTime}}
}

// mostWrites is how many documents a commit may have. The service took no more once, and its
// emulator takes any number. https://cloud.google.com/firestore/quotas#writes_and_transactions
const mostWrites = 500

// longestIndexed is of how many bytes of a text an index knows; of what is longer it knows
// the beginning, and would find the wrong ones.
// https://cloud.google.com/firestore/quotas#indexes
const longestIndexed = 1500

// observed tells the observer of the context of what is read or written, with all that is tried again,
// as the other homes do; each of its calls is one of Google's besides (outbound.Client).
func observed(ctx context.Context, what string) (answered func(*error)) {
	tell := outbound.Begin(ctx, "database", what)
	return func(err *error) {
		if errors.Is(*err, ledger.ErrChanged) || errors.Is(*err, errTooMuch) { // nothing is wrong with the database
			tell(outbound.OK)
			return
		}
		tell(outbound.Status(*err))
	}
}

// attempts is how often a commit is made that Firestore gives up for the sake of another, and
// a call that changes nothing.
const (
	commitAttempts = 5
	readAttempts   = 2
)

// commit writes all, or nothing. Where Firestore says that it gave it up (ABORTED), nothing was
// written, and it is made again; any other error is the caller's, who looks.
// https://cloud.google.com/firestore/docs/understand-error-codes
func (d *Database) commit(ctx context.Context, all ...write) (err error) {
	defer observed(ctx, "write")(&err)
	return d.send(ctx, all...)
}

// send is commit, of which no observer is told.
func (d *Database) send(ctx context.Context, all ...write) error {
	if len(all) > mostWrites {
		return errTooMuch
	}
	for attempt := 1; ; attempt++ {
		err := d.call(ctx, ":commit", map[string]any{"writes": all}, func(decoder *json.Decoder) error {
			var answer struct {
				CommitTime time.Time `json:"commitTime"`
			}
			if err := decoder.Decode(&answer); err != nil || answer.CommitTime.IsZero() {
				return cmp.Or(err, errors.New("an answer that does not say when it was written"))
			}
			return nil
		})
		if !is(err, aborted) || attempt == commitAttempts || d.c.Pause(ctx, attempt) != nil {
			return err
		}
	}
}

// follows is commit of writes with preconditions: ledger.ErrChanged where one of them does not
// hold. A database that cannot be used, or is not there, has the same statuses as a document that
// has changed or is gone, so that it is looked up and not guessed.
func (d *Database) follows(ctx context.Context, all ...write) (err error) {
	defer observed(ctx, "write")(&err)
	err = d.send(ctx, all...)
	if is(err, alreadyExists) {
		return ledger.ErrChanged
	}
	if !is(err, failedPrecondition) && !is(err, notFound) {
		return err
	}
	var names []string
	for _, w := range all {
		if w.Only != (precondition{}) {
			names = append(names, w.name())
		}
	}
	there := map[string]string{}
	for some := range slices.Chunk(names, mostGot) {
		if failed := d.read(ctx, ":batchGet", map[string]any{"documents": some, "mask": mask{[]string{version}}}, func(one document) error {
			there[one.Name] = one.UpdateTime
			return nil
		}); failed != nil {
			return failed
		}
	}
	for _, w := range all {
		if w.Only.UpdateTime != "" && there[w.name()] != w.Only.UpdateTime {
			return ledger.ErrChanged
		}
	}
	return err
}

// name is that of the document that is written.
func (w write) name() string {
	if w.Update != nil {
		return w.Update.Name
	}
	return w.Delete
}

// pause waits longer each time; some of it at random, so that who met does not meet again.
func pause(ctx context.Context, attempt int) error {
	wait := time.Duration(attempt) * 50 * time.Millisecond
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(wait + mathrand.N(wait)):
		return nil
	}
}

// get are the documents of a collection with some ids, by these, with those fields that are
// named, or all; nothing of what is not there.
func (d *Database) get(ctx context.Context, collection string, ids []string, paths ...string) (map[string]document, error) {
	found := map[string]document{}
	err := d.getEach(ctx, collection, ids, paths, func(one document) error {
		found[one.id()] = one
		return nil
	})
	return found, err
}

// mostGot is how many documents are asked for in one call.
const mostGot = 100

// getEach is get, one document after the other. It stops at an error of each, which is its own.
func (d *Database) getEach(ctx context.Context, collection string, ids, paths []string, each func(document) error) error {
	for some := range slices.Chunk(ids, mostGot) {
		body := map[string]any{}
		var names []string
		for _, id := range some {
			names = append(names, d.path(collection, id))
		}
		body["documents"] = names
		if len(paths) > 0 {
			body["mask"] = mask{paths}
		}
		if err := d.read(ctx, ":batchGet", body, each); err != nil {
			return err
		}
	}
	return nil
}

// element is one of an answer to batchGet, runQuery and runAggregationQuery.
type element struct {
	Found    *document `json:"found"`
	Document *document `json:"document"`
	Result   *struct {
		Fields fields `json:"aggregateFields"`
	} `json:"result"`
	ReadTime time.Time `json:"readTime"`
	Error    *failure  `json:"error"`
}

// read makes a call that changes nothing, of which the answer is a list of documents, and
// makes it once more where the service could not, before each has had any of it.
func (d *Database) read(ctx context.Context, method string, body any, each func(document) error) error {
	stopped := error(nil)
	err := d.readUntil(ctx, method, body, func(one document) bool {
		stopped = each(one)
		return stopped == nil
	})
	return cmp.Or(stopped, err)
}

// readUntil is read until each has had enough, which is no error.
func (d *Database) readUntil(ctx context.Context, method string, body any, each func(document) bool) (err error) {
	defer observed(ctx, "read")(&err)
	for attempt := 1; ; attempt++ {
		began := false
		err := d.call(ctx, method, body, func(decoder *json.Decoder) error {
			if bracket, err := decoder.Token(); err != nil || bracket != json.Delim('[') {
				return cmp.Or(err, errors.New("an answer that is no list"))
			}
			for decoder.More() {
				var e element
				if err := decoder.Decode(&e); err != nil {
					return err
				}
				if e.Error != nil {
					e.Error.next = d.next(e.Error)
					return e.Error
				}
				one := cmp.Or(e.Found, e.Document)
				if e.Result != nil {
					one = &document{Fields: e.Result.Fields}
				}
				if one == nil {
					continue
				}
				one.readAt, began = e.ReadTime, true
				if !each(*one) {
					return nil
				}
			}
			_, err := decoder.Token() // a list that was cut short is none
			return err
		})
		if began || !passing(err) || attempt == readAttempts || d.c.Pause(ctx, attempt) != nil {
			return err
		}
	}
}

// maxAnswer bounds an answer: mostGot documents of 1 MiB, in Base64. callTime bounds a call with its
// answer, also where nobody waits for it who would give up, as in a sweep.
const (
	maxAnswer = 160 << 20
	callTime  = time.Minute
)

// call makes one call and has its answer read. An answer that is not 200 is a *failure.
func (d *Database) call(ctx context.Context, method string, body any, read func(*json.Decoder) error) error {
	encoded, err := json.Marshal(body)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, d.c.Endpoint+"/v1/"+escaped(d.documents)+method, bytes.NewReader(encoded))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	// By this the service knows for which database a call is, before it reads the body.
	// https://cloud.google.com/firestore/docs/manage-databases#rest-api
	request.Header.Set("X-Goog-Request-Params", "project_id="+d.c.Project+"&database_id="+url.QueryEscape(d.c.Database))
	response, err := d.c.Client.Do(request)
	if err != nil {
		return fmt.Errorf("asking Firestore: %w", outbound.WithoutAddress(err))
	}
	defer response.Body.Close()
	bounded := outbound.Bound(response.Body, maxAnswer)
	if response.StatusCode != http.StatusOK {
		return d.refused(response.StatusCode, bounded)
	}
	if err := read(json.NewDecoder(bounded)); err != nil {
		if _, ok := errors.AsType[*failure](err); ok {
			return err
		}
		return fmt.Errorf("the answer of Firestore cannot be read: %w", cut(err))
	}
	return nil
}

// cut is the error of an answer that ends too early, which is no end.
func cut(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// escaped is a name in an address; "(default)" may stay as it is.
func escaped(name string) string {
	return (&url.URL{Path: name}).EscapedPath()
}
