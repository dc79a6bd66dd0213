-- The demo's flow: sales (100,000 rows) -> sales_clean -> revenue. Build it with
--   dssctl job run DEMO revenue
-- Every word of this file stands in docs/projects.md.
project {
  name  = "Demo",
  owner = "admin",
  about = "A year of sales, cleaned and added up",
  rights = { read = { "everybody" } },

  datasets = {
    sales       = { about = "Orders of a year, as they came: some amounts are missing" },
    sales_clean = { about = "Orders with an amount" },
    revenue     = { about = "Revenue by month and channel" },
  },

  recipes = {
    clean = python {
      about   = "Leaves out orders without an amount, tells how many",
      script  = "recipes/clean.py",
      inputs  = { "sales" },
      outputs = { "sales_clean" },
      limits  = { memory = "256m", threads = 64 },
    },
    aggregate = @AGGREGATE@,
  },

  webapps = {
    page = webapp {
      about   = "The revenue as a table; started with dssctl webapps start DEMO page",
      command = { "/usr/bin/python3", "webapps/page.py" },
      limits  = { memory = "128m" },
    },
  },
}
