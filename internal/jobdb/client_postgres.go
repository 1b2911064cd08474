package jobdb

import (
	"context"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverdatabasesql"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivertype"
)

// newPostgresClient returns a client that does its own work through pgx. Its
// methods for transactions also run in those of database/sql.
func newPostgresClient(db *DB, config *river.Config) (Client, error) {
	native, err := newClient(riverpgxv5.New(db.Pool()), config, (*Tx).Pgx)
	if err != nil {
		return nil, err
	}
	// Without queues and without a database, the second client runs nothing
	// outside of the transactions that it is given.
	inSQL := *config
	inSQL.Queues = nil
	standard, err := newClient(riverdatabasesql.New(nil), &inSQL, (*Tx).SQL)
	if err != nil {
		return nil, err
	}
	return &postgresClient{native, standard}, nil
}

// postgresClient chooses River's driver by the kind of transaction.
type postgresClient struct {
	Client

	standard txClient
}

func (c *postgresClient) in(tx *Tx) txClient {
	if tx.SQL() != nil {
		return c.standard
	}
	return c.Client
}

func (c *postgresClient) InsertTx(ctx context.Context, tx *Tx, args river.JobArgs, opts *river.InsertOpts) (*rivertype.JobInsertResult, error) {
	return c.in(tx).InsertTx(ctx, tx, args, opts)
}

func (c *postgresClient) InsertManyTx(ctx context.Context, tx *Tx, params []river.InsertManyParams) ([]*rivertype.JobInsertResult, error) {
	return c.in(tx).InsertManyTx(ctx, tx, params)
}

func (c *postgresClient) JobGetTx(ctx context.Context, tx *Tx, id int64) (*rivertype.JobRow, error) {
	return c.in(tx).JobGetTx(ctx, tx, id)
}

func (c *postgresClient) JobListTx(ctx context.Context, tx *Tx, params *river.JobListParams) (*river.JobListResult, error) {
	return c.in(tx).JobListTx(ctx, tx, params)
}

func (c *postgresClient) JobCancelTx(ctx context.Context, tx *Tx, id int64) (*rivertype.JobRow, error) {
	return c.in(tx).JobCancelTx(ctx, tx, id)
}

func (c *postgresClient) JobRetryTx(ctx context.Context, tx *Tx, id int64) (*rivertype.JobRow, error) {
	return c.in(tx).JobRetryTx(ctx, tx, id)
}

func (c *postgresClient) JobDeleteTx(ctx context.Context, tx *Tx, id int64) (*rivertype.JobRow, error) {
	return c.in(tx).JobDeleteTx(ctx, tx, id)
}
