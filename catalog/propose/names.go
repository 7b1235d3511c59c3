package propose

import "strings"

// debianPython are packages of Debian by the module they bring (packages of bookworm, looked up in its index).
var debianPython = map[string]string{
	"numpy": "python3-numpy", "scipy": "python3-scipy", "pandas": "python3-pandas", "matplotlib": "python3-matplotlib",
	"sklearn": "python3-sklearn", "seaborn": "python3-seaborn", "statsmodels": "python3-statsmodels", "sympy": "python3-sympy",
	"networkx": "python3-networkx", "nibabel": "python3-nibabel", "astropy": "python3-astropy", "h5py": "python3-h5py",
	"xarray": "python3-xarray", "netCDF4": "python3-netcdf4", "PIL": "python3-pil", "cv2": "python3-opencv", "skimage": "python3-skimage",
	"flask": "python3-flask", "requests": "python3-requests", "bs4": "python3-bs4", "lxml": "python3-lxml", "yaml": "python3-yaml",
	"tqdm": "python3-tqdm", "joblib": "python3-joblib", "numba": "python3-numba", "jinja2": "python3-jinja2", "pydicom": "python3-pydicom",
	"openpyxl": "python3-openpyxl", "sqlalchemy": "python3-sqlalchemy", "tables": "python3-tables", "dask": "python3-dask",
	"Bio": "python3-biopython", "rdflib": "python3-rdflib", "psutil": "python3-psutil", "dateutil": "python3-dateutil", "tornado": "python3-tornado",
	"shapely": "python3-shapely", "geopandas": "python3-geopandas", "fiona": "python3-fiona", "rasterio": "python3-rasterio", "pyproj": "python3-pyproj",
	"nltk": "python3-nltk", "cryptography": "python3-cryptography", "IPython": "python3-ipython", "ipywidgets": "python3-ipywidgets",
}

// pipNames are packages of the Python Package Index that are called otherwise than their module.
var pipNames = map[string]string{"mne": "mne", "cartopy": "Cartopy", "umap": "umap-learn", "igraph": "python-igraph", "dotenv": "python-dotenv", "git": "GitPython"}

// debianR are packages of CRAN that Debian has as r-cran-NAME.
var debianR = words(`abind ape BayesFactor BH boot broom car caret class cluster coda codetools colorspace cowplot data.table DBI
	dbplyr devtools digest doParallel dplyr DT e1071 effects emmeans evaluate foreach forecast foreign future gam gdata ggplot2 ggrepel glmnet
	gridExtra gtable haven here Hmisc htmltools htmlwidgets httr igraph jsonlite KernSmooth knitr lattice lavaan lme4 lmerTest
	lubridate magrittr maps MASS Matrix memoise mgcv multcomp nlme nnet patchwork plotly plyr pROC psych purrr quantreg R6 randomForest raster
	RColorBrewer Rcpp readr readxl reshape2 reticulate rlang rmarkdown rpart RSQLite rstan sandwich scales sf shiny shinydashboard sp spatial
	stringi stringr survival testthat tibble tidyr tidyselect tidyverse vegan viridis xml2 xtable xts yaml zoo`)

// baseR are packages that come with R itself.
var baseR = words(`base compiler datasets graphics grDevices grid methods parallel splines stats stats4 tcltk tools utils`)

// standardLibrary are the modules that come with Python itself (sys.stdlib_module_names of 3.11).
var standardLibrary = words(`abc aifc antigravity argparse array ast asynchat asyncio asyncore atexit audioop base64 bdb binascii bisect builtins
	bz2 cProfile calendar cgi cgitb chunk cmath cmd code codecs codeop collections colorsys compileall concurrent configparser contextlib
	contextvars copy copyreg crypt csv ctypes curses dataclasses datetime dbm decimal difflib dis distutils doctest email encodings ensurepip enum
	errno faulthandler fcntl filecmp fileinput fnmatch fractions ftplib functools gc genericpath getopt getpass gettext glob graphlib grp gzip
	hashlib heapq hmac html http idlelib imaplib imghdr imp importlib inspect io ipaddress itertools json keyword lib2to3 linecache locale logging
	lzma mailbox mailcap marshal math mimetypes mmap modulefinder multiprocessing netrc nis nntplib ntpath numbers opcode operator optparse os
	ossaudiodev pathlib pdb pickle pickletools pipes pkgutil platform plistlib poplib posix posixpath pprint profile pstats pty pwd py_compile
	pyclbr pydoc queue quopri random re readline reprlib resource rlcompleter runpy sched secrets select selectors shelve shlex shutil signal site
	smtpd smtplib sndhdr socket socketserver spwd sqlite3 ssl stat statistics string stringprep struct subprocess sunau symtable sys sysconfig
	syslog tabnanny tarfile telnetlib tempfile termios textwrap this threading time timeit tkinter token tokenize tomllib trace traceback
	tracemalloc tty turtle types typing unicodedata unittest urllib uu uuid venv warnings wave weakref webbrowser wsgiref xdrlib xml xmlrpc zipapp
	zipfile zipimport zlib zoneinfo __future__`)

func words(text string) map[string]bool {
	m := map[string]bool{}
	for _, w := range strings.Fields(text) {
		m[w] = true
	}
	return m
}
