package relational

import (
	"context"
)

// Exec runs a statement with the rights that the database is opened with.
func Exec(ctx context.Context, d *Database, statement string) error {
	_, err := d.write.ExecContext(ctx, statement)
	return err
}

// Limited makes a database of SQLite grow to so many pages and no further.
func Limited(d *Database, pages string) (*Database, error) {
	_, err := d.write.Exec("PRAGMA max_page_count = " + pages)
	return d, err
}

// Pragma is a number that a connection that reads is set to.
func Pragma(ctx context.Context, d *Database, name string) (n int, err error) {
	err = d.read.QueryRowContext(ctx, "PRAGMA "+name).Scan(&n)
	return n, err
}
