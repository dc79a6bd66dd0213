-- The demo's flow: sales (100,000 rows) -> sales_clean -> revenue, and a model of sales_clean. Build it with
--   dssctl job run DEMO revenue
--   dssctl train DEMO order_amount --wait
-- Every word of this file stands in docs/projects.md.
project {
  name  = "Demo",
  owner = "admin",
  about = "A year of sales: cleaned, added up, learned from",
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
      about   = "The revenue and the models as tables; started with dssctl webapps start DEMO page",
      @PAGE@,
      limits  = { memory = "128m" },
    },
  },

  models = {
    order_amount = model {
      about      = "What an order will come to",
      input      = "sales_clean",
      target     = "amount",
      task       = "regression",
      algorithms = { "ridge", "gradient_boosting" },
      params     = { drop = { "order", "date", "customer" }, ridge = { alpha = 10 } },
      limits     = { memory = "768m" },
      timeout    = "10min",
    },
  },
}
