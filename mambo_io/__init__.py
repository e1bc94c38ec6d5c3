"""The world outside: files, HTTP, the ledger's database. Never imports `pipelines` or Prefect."""
